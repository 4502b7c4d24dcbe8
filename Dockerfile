# One image, three programs and a command: node /app/webhook.js | /app/controller.js | /app/agent.js | /app/sallyport.js;
# and what uninstalls them: /app/uninstall.js, and /app/cleanup.js on each node.
# The same commit and the same packages make the same layers, with SOURCE_DATE_EPOCH as argument and the builder's own setting
# for the dates in layers (buildah: --timestamp; BuildKit: rewrite-timestamp=true).
FROM node:24-bookworm-slim AS node

FROM debian:bookworm-slim AS tools
ARG SOURCE_DATE_EPOCH=0
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nftables iproute2
COPY --from=node /usr/local/bin/node /usr/bin/node
COPY scripts/imageRoot.sh /imageRoot.sh
# What the agent starts: nft, ip and bridge, cat and tee, and perl, for announcements. env is for the command's first line.
RUN sh /imageRoot.sh /image /usr/bin/node /usr/sbin/nft /etc/iproute2 /usr/bin/ip /usr/sbin/bridge \
  /usr/bin/perl /usr/lib/*/perl-base /usr/bin/cat /usr/bin/tee /usr/bin/env

FROM node AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# Install scripts are not needed: esbuild's binary is a package of its own, and Node is this image's.
RUN npm ci --ignore-scripts
COPY . .
# Source maps stay behind: nothing here reads them.
RUN node scripts/bundle.ts && rm dist/*.map
COPY --from=tools /image/var/lib/dpkg/status.d /status.d
RUN node scripts/renderSbom.ts package-lock.json /status.d > dist/sbom.cdx.json

FROM scratch
ENV NODE_ENV=production PATH=/usr/local/bin:/usr/sbin:/usr/bin
WORKDIR /app
ENTRYPOINT ["/usr/bin/node"]
COPY --from=tools /image /
COPY LICENSE /app/LICENSE
COPY --from=build /src/dist /app
# The agent is run as 0 by the chart: that user's capabilities are what it needs.
USER 65532:65532
ARG VERSION=dev
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Sallyport" \
  org.opencontainers.image.description="Egress gateway for Kubernetes with stateless gateways and lease-based failover" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.source="${SOURCE}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.version="${VERSION}"
