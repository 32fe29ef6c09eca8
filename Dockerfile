# Both commands in one image: static, without a shell, as user 65532.
#
#   docker build -t seqrec .
#
# The base of the result, distroless/static, holds certificates of authorities, time zones and a passwd file; nothing in
# it runs. There is no HEALTHCHECK: the probes are at :8082, for whoever runs the container to ask.
FROM --platform=$BUILDPLATFORM golang:1.26-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -ldflags='-s -w' -o /out/bin/ ./cmd/recsvc ./cmd/trainjob
# Made here because the result has no shell: folders that a volume of Docker takes owner and mode from.
RUN mkdir -p /out/lib/registry /out/lib/history

FROM gcr.io/distroless/static-debian13:nonroot
COPY --from=build /out/bin/ /usr/bin/
COPY --from=build --chown=65532:65532 /out/lib/ /var/lib/seqrec/
WORKDIR /var/lib/seqrec
USER 65532:65532
# Data plane and probes. The admin plane listens on loopback unless it is told otherwise.
EXPOSE 8080 8082
ENTRYPOINT ["/usr/bin/recsvc"]
CMD ["serve"]
