# Builds the image of agents and operators with a container engine. `make image` builds the same files without one.
# image/contents.ts lists the contents for both.
#   docker buildx build --platform linux/amd64,linux/arm64 --tag sallyport:0.1.0 .

FROM node:24-bookworm-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends clang-16 libbpf-dev libc6-dev linux-libc-dev make mmdebstrap
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Not `npm ci`, for the reason in ./setup.
RUN npm install --no-save --omit=dev
COPY Makefile fill-cache ./
COPY bpf bpf
RUN make build/sallyport.bpf.o
COPY bin bin
COPY image image
COPY src src
RUN node --disable-warning=ExperimentalWarning image/lay-out.ts /image

FROM scratch
COPY --from=build /image /
WORKDIR /opt/sallyport
ENV SALLYPORT_IMAGE=1 \
    PATH=/opt/sallyport/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Only the agent runs as root, as its manifest says.
USER 65532
CMD ["sallyport", "--help"]
