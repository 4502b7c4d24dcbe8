# One image, three programs and a command: node /app/webhook.js | /app/controller.js | /app/agent.js | /app/sallyport.js;
# and what uninstalls them: /app/uninstall.js, and /app/cleanup.js on each node.
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# Install scripts are not needed: esbuild's binary is a package of its own, and Node is this image's.
RUN npm ci --ignore-scripts
COPY . .
RUN node scripts/bundle.ts

FROM debian:bookworm-slim
ARG VERSION=dev
LABEL org.opencontainers.image.title="Sallyport" \
  org.opencontainers.image.description="Egress gateway for Kubernetes with stateless gateways and lease-based failover" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}"
ENV NODE_ENV=production
WORKDIR /app
# No USER: the agent needs root's capabilities; the Deployments run the same files as 65532, and every file is readable.
ENTRYPOINT ["/usr/bin/node"]
# What the agent drives: nft, ip and bridge; perl, for announcements, is in the base. The other two programs need none of it.
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nftables iproute2 \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
# So that `kubectl exec … -- sallyport status` needs no path.
RUN ln -s /app/sallyport.js /usr/local/bin/sallyport
COPY --from=build /usr/local/bin/node /usr/bin/node
COPY LICENSE /app/LICENSE
COPY --from=build /src/dist /app
