// Package tracing tells OpenTelemetry what a server does for each request, and
// passes the trace on in W3C's traceparent header. Without a tracer it only
// passes on.
package tracing

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// w3c is https://www.w3.org/TR/trace-context/.
var w3c = propagation.TraceContext{}

// Inject puts the trace that ctx belongs to, if any, into the header of an
// outgoing request.
func Inject(ctx context.Context, h http.Header) { w3c.Inject(ctx, propagation.HeaderCarrier(h)) }

// Extract returns r with the trace of its header in its context.
func Extract(r *http.Request) *http.Request {
	if r.Header.Get("Traceparent") == "" {
		return r
	}
	return r.WithContext(w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
}

// Tracer begins spans.
type Tracer struct {
	tracer trace.Tracer
	// On tells whether anybody gets the spans.
	On       bool
	shutdown func(context.Context) error
}

// New returns a Tracer of p; nil means that of the environment, which has one
// if the usual variables name an OTLP endpoint.
func New(p trace.TracerProvider, log *slog.Logger) *Tracer {
	t := &Tracer{shutdown: func(context.Context) error { return nil }}
	if p == nil {
		p = t.fromEnvironment(log)
	}
	t.On = p != nil
	if p == nil {
		p = noop.NewTracerProvider()
	}
	t.tracer = p.Tracer("landfall.dev/kit/rest")
	return t
}

// fromEnvironment returns the provider that the environment asks for, or nil.
func (t *Tracer) fromEnvironment(log *slog.Logger) trace.TracerProvider {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil
	}
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		log.Warn("traces are not exported", "error", err)
		return nil
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces were lost", "error", err) }))
	what, err := resource.Merge(resource.NewSchemaless(attribute.String("service.name", "landfall")), resource.Environment())
	if err != nil {
		what = resource.Default()
	}
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(what))
	t.shutdown = p.Shutdown
	return p
}

// Shutdown sends what was not sent yet.
func (t *Tracer) Shutdown(ctx context.Context) error { return t.shutdown(ctx) }

// Server begins the span of a request that came in.
func (t *Tracer) Server(r *http.Request) (*http.Request, trace.Span) {
	ctx, span := t.tracer.Start(r.Context(), r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)))
	return r.WithContext(ctx), span
}

// Begin begins a span inside of a request.
func (t *Tracer) Begin(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

// Answered ends the span of a request with the status of the answer.
func Answered(s trace.Span, status int) {
	s.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		s.SetStatus(codes.Error, http.StatusText(status))
	}
	s.End()
}

// Done ends a span with the outcome of what it is about.
func Done(s trace.Span, err error) {
	if err != nil {
		s.SetStatus(codes.Error, err.Error())
	}
	s.End()
}
