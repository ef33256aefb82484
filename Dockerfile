# The image of agents and operators. Everything in it but the base's packages is fixed by this repository's lock file:
#   docker buildx build --platform linux/amd64,linux/arm64 --tag sallyport:0.1.0 .

FROM debian:12-slim AS datapath
RUN apt-get update \
 && apt-get install --yes --no-install-recommends clang-16 libbpf-dev libc6-dev linux-libc-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/sallyport
COPY Makefile ./
COPY bpf bpf
RUN make build/sallyport.bpf.o

FROM node:24-bookworm-slim AS modules
WORKDIR /opt/sallyport
COPY package.json package-lock.json .npmrc ./
# Not `npm ci`, which refuses this lock file: ./setup says why. Of Node.js the program alone: its headers and manuals are
# larger than our sources.
RUN npm install --no-save --omit=dev \
 && rm -rf node_modules/node-linux-*/include node_modules/node-linux-*/share node_modules/node-linux-*/*.md

FROM debian:12-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libbpf1 libstdc++6 ca-certificates \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/sallyport
COPY --from=modules /opt/sallyport/node_modules node_modules
COPY --from=datapath /opt/sallyport/build/sallyport.bpf.o build/sallyport.bpf.o
COPY package.json fill-cache ./
COPY bin bin
COPY src src
RUN ./fill-cache
# Container runtimes run the CNI plugin on the node, where none of these files are.
ENV SALLYPORT_IMAGE=1 \
    PATH=/opt/sallyport/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# The agent's manifest asks for root; nothing else does.
USER 65532
CMD ["sallyport", "--help"]
