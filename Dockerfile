# Images of the operator and of workers and parameter servers. The file systems are made by scripts/image.sh, the same script that the
# tests use where there is no Docker engine.
#   docker build --target operator -t lepton/operator:dev .
#   docker build --target worker -t lepton/worker:dev .
# Pin the base of the build by digest: --build-arg BASE=debian@sha256:...
ARG BASE=debian:bookworm
FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm python3 python3-pip g++ cmake make git ca-certificates
WORKDIR /source
COPY . .
RUN scripts/setup.sh && scripts/image.sh operator /image/operator && scripts/image.sh worker /image/worker

FROM scratch AS operator
COPY --from=build /image/operator /
USER 65532:65532
WORKDIR /
ENV NODE_ENV=production HOME=/tmp
ENTRYPOINT ["/usr/local/bin/node", "/opt/lepton/operator/main.js"]

FROM scratch AS worker
COPY --from=build /image/worker /
USER 65532:65532
WORKDIR /
ENV NODE_ENV=production HOME=/tmp
ENTRYPOINT ["/usr/local/bin/node", "/opt/lepton/worker/main.js"]
