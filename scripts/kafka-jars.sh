#!/usr/bin/env bash
# Prints the folder with the jars of the Apache Kafka broker that the tests start, in the version of tools/kafka/pom.xml,
# fetching them from Maven Central into the user's cache the first time (about 45 MB). Needs java and mvn.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' tools/kafka/pom.xml)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/seqrec-tools/kafka-$version
aside=
trap 'rm -rf "$aside"' EXIT

if [ ! -d "$dir" ]; then
    echo "kafka-jars: fetching Apache Kafka $version" >&2
    mkdir -p "$(dirname "$dir")"
    aside=$(mktemp -d "$dir.XXXXXX")
    mvn -q -B -f tools/kafka/pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$aside" >&2
    chmod 755 "$aside"
    mv -T "$aside" "$dir" || [ -d "$dir" ] # another run was faster
fi

# An archive of the classes that a broker loads halves the processor time of each start, and the tests start many. It is
# made by one short life of a broker; without it everything works, only slower.
archive() {
    local jars life i port=$((20000 + RANDOM / 2)) # below those that systems hand out
    jars=$(printf '%s:' "$dir"/*.jar)
    aside=$(mktemp -d)
    printf '%s\n' process.roles=broker,controller node.id=1 controller.listener.names=CONTROLLER \
        controller.quorum.voters=1@127.0.0.1:$port "log.dirs=$aside/data" inter.broker.listener.name=PLAIN \
        listeners=CONTROLLER://127.0.0.1:$port,PLAIN://127.0.0.1:$((port + 1)) \
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT >"$aside/server.properties"
    java -cp "$jars" kafka.tools.StorageTool format --cluster-id "$(head -c 16 /dev/zero | tr '\0' 1 | base64 | tr -d =)" \
        --config "$aside/server.properties" || return
    java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit="$aside/kafka.jsa" \
        -Dlog4j2.level=INFO -cp "$jars" kafka.Kafka "$aside/server.properties" >"$aside/log" 2>&1 &
    life=$!
    for ((i = 0; i < 900; i++)); do
        grep -q 'Kafka Server started' "$aside/log" && break
        kill -0 $life || return
        sleep 0.1
    done
    kill $life
    wait $life || true # it says 143
    mv "$aside/kafka.jsa" "$dir/kafka.jsa"
}
if [ ! -f "$dir/kafka.jsa" ]; then
    archive >/dev/null 2>&1 || echo "kafka-jars: no class archive; brokers start slowly" >&2
fi
echo "$dir"
