#!/usr/bin/env bash
# What docker-compose.yml uses of the image's entrypoint: KAFKA_LOG_DIRS becomes log.dirs, and so with all the others;
# KAFKA_HEAP_OPTS goes to Java. A new volume is formatted.
set -euo pipefail
properties=/tmp/server.properties
env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS='=' read -r name value; do
  name=${name#KAFKA_}
  name=${name,,}
  echo "${name//_/.}=$value"
done > "$properties"
[ -f "$KAFKA_LOG_DIRS/meta.properties" ] || java -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --cluster-id 5L6g3nShT-eMCtK--X86sw --config "$properties"
exec java $KAFKA_HEAP_OPTS -cp '/opt/kafka/libs/*' kafka.Kafka "$properties"
