# docker build --build-arg BUILD_COMMIT="$(git rev-parse HEAD)" -t skyrelay .
# docker run -v skyrelay:/data -p 2470:2470 -p 2471:2471 skyrelay
FROM node:26.10.0-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
# No package needs its install script: native code comes ready-made or has a fall-back.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
ARG BUILD_COMMIT=""
RUN BUILD_COMMIT="$BUILD_COMMIT" node scripts/build.ts \
 && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:26.10.0-bookworm-slim
# initdb of the embedded PostgreSQL wants a name for its user id.
RUN groupadd --gid 10001 skyrelay \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin skyrelay \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
WORKDIR /app
COPY --from=build /src/package.json /src/LICENSE ./
COPY --from=build /src/node_modules node_modules
COPY --from=build /src/migrations migrations
COPY --from=build /src/dist dist
ENV NODE_ENV=production RELAY_DATA_DIR=/data
USER 10001:10001
VOLUME /data
EXPOSE 2470 2471
# Exec form: signals reach the relay, not a shell.
ENTRYPOINT ["node", "--disable-proto=delete", "dist/lib/main.js"]
CMD ["serve"]
