package httpapi

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"seqrec/internal/httpapi/wire"
)

// Options are what New needs. Service is required; the zero value of the rest works.
type Options struct {
	Service  Service
	Config   Config
	Keys     []Key                // see Keys; none lets everybody in
	Log      *slog.Logger         // nil discards
	Registry *prometheus.Registry // takes our metrics and is what /metrics shows; nil makes one
	Now      func() time.Time     // nil is time.Now
	NewID    func() string        // makes request ids; nil makes random ones
}

// Server builds the handlers of the three listeners. It holds no listener and no goroutine.
type Server struct {
	service  Service
	config   Config
	keys     *Keys
	log      *slog.Logger
	registry *prometheus.Registry
	metrics  *metrics
	now      func() time.Time
	newID    func() string
	contract *contract
	slots    chan struct{} // one token for each request under way on the data plane
	// receiving holds one for each whose body is still arriving.
	receiving chan struct{}
	logged    atomic.Uint64 // requests seen by the log's sampling
	draining  atomic.Bool
	rollback  sync.Mutex
	bodies    sync.Pool // *bytes.Buffer
	scanners  sync.Pool // *scanner
}

// receivingShare is how many requests may be sending their body for each that may be in flight. They hold what they have
// sent, and no more.
const receivingShare = 8

// New checks the options and the contract and returns the server.
func New(o Options) (*Server, error) {
	if o.Service == nil {
		return nil, fmt.Errorf("httpapi: Options.Service is nil")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, fmt.Errorf("httpapi: configuration: %w", err)
	}
	contract, err := loadContract()
	if err != nil {
		return nil, fmt.Errorf("httpapi: contract: %w", err)
	}
	s := &Server{service: o.Service, config: o.Config.withDefaults(), contract: contract, log: o.Log, registry: o.Registry, now: o.Now, newID: o.NewID}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.newID == nil {
		s.newID = rand.Text
	}
	if s.metrics, err = newMetrics(s.registry); err != nil {
		return nil, fmt.Errorf("httpapi: metrics: %w", err)
	}
	s.keys = newKeys(s.config.Rate, s.config.Burst)
	if err := s.keys.Replace(o.Keys); err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	s.slots = make(chan struct{}, s.config.MaxInFlight)
	s.receiving = make(chan struct{}, receivingShare*s.config.MaxInFlight)
	s.bodies.New = func() any { return new(bytes.Buffer) }
	s.scanners.New = func() any { return newScanner() }
	return s, nil
}

// Keys is the set of keys in force; replace them there when they change.
func (s *Server) Keys() *Keys { return s.keys }

// Drain makes /readyz say unavailable and asks clients to close their connections, while requests are answered as
// before. Call it, give the balancers a moment, then shut the http.Servers down.
func (s *Server) Drain() { s.draining.Store(true) }

// Data is the handler of the data plane: /v1, the contract at /docs, the page at /.
func (s *Server) Data() http.Handler { return s.plane(planeData) }

// Admin is the handler of the admin plane.
func (s *Server) Admin() http.Handler { return s.plane(planeAdmin) }

// Probes is the handler of the probe plane: /livez, /readyz, /metrics.
func (s *Server) Probes() http.Handler { return s.plane(planeProbes) }

// plane builds the handler of one listener.
func (s *Server) plane(p plane) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.UseEscapedPath = true
	engine.UnescapePathValues = false // check does, by the rules for paths
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.ContextWithFallback = true
	routes := &router{IRouter: engine, server: s, plane: p}
	wire.RegisterHandlersWithOptions(routes, s.operations(), wire.GinServerOptions{ErrorHandler: s.unreadable})
	engine.NoRoute(func(c *gin.Context) { s.refuse(c, &failure{kind: notFound}) })
	engine.NoMethod(s.noMethod)
	if p == planeData {
		s.registerWeb(engine)
	}
	return s.envelope(p, routes.split(engine))
}

// operations joins the strict handlers with those that read their bodies themselves.
func (s *Server) operations() wire.ServerInterface {
	strict := wire.NewStrictHandlerWithOptions(&operations{Server: s}, nil, wire.StrictGinServerOptions{
		RequestErrorHandlerFunc:  func(c *gin.Context, err error) { s.unreadable(c, err, http.StatusBadRequest) },
		HandlerErrorFunc:         func(c *gin.Context, err error) { s.refuse(c, err) },
		ResponseErrorHandlerFunc: func(c *gin.Context, err error) { s.refuse(c, err) },
	})
	return &handlers{ServerInterface: strict, server: s, scrape: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})}
}

// handlers are all operations: the strict ones, and in their place those of the hot bodies and the metrics.
type handlers struct {
	wire.ServerInterface
	server *Server
	scrape http.Handler
}

func (h *handlers) Predict(c *gin.Context)      { h.server.predict(c) }
func (h *handlers) PredictBatch(c *gin.Context) { h.server.predictBatch(c) }
func (h *handlers) AppendEvents(c *gin.Context) { h.server.appendEvents(c) }
func (h *handlers) Metrics(c *gin.Context)      { h.scrape.ServeHTTP(c.Writer, c.Request) }

// operations are the strict ones. The embedded interface is nil: it stands for the four operations that handlers
// answers itself, which therefore never arrive here.
type operations struct {
	wire.StrictServerInterface
	*Server
}

// refuse answers with the problem of err.
func (s *Server) refuse(c *gin.Context, err error) {
	call := callOf(c.Request.Context())
	f := failureOf(err)
	if f.kind == internal || f.kind == storeUnavailable {
		call.cause = err
	}
	f.write(c.Writer, call.id)
	c.Abort()
}

// unreadable answers for what the generated code could not bind although the contract's check let it pass, such as a
// whole number written as 1e2.
func (s *Server) unreadable(c *gin.Context, _ error, _ int) {
	s.refuse(c, fail(malformed, "a parameter or member is written in a form that is not read here"))
}
