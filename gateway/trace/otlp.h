/*
 * otlp: spans as the JSON of OpenTelemetry's protocol (OTLP/HTTP 1.x, ExportTraceServiceRequest).
 *
 * Pure; any thread.
 */
#ifndef GATEWAY_OTLP_H
#define GATEWAY_OTLP_H

#include "base/buf.h"
#include "gateway/trace/span.h"

/* Who sends them. */
struct otlp_resource {
    const char *service;  /* service.name */
    const char *instance; /* service.instance.id */
    const char *host;     /* host.name */
};

/* Appends a whole request with these spans. */
void otlp_write(const struct otlp_resource *who, const struct span *spans, unsigned n,
                struct buf *out);
/* How many spans a collector takes them for: those of waits are spans, too. */
unsigned otlp_count(const struct span *spans, unsigned n);

#endif
