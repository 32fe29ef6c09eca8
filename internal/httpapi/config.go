package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Config are the settings of the server. Zero values take the defaults named at each field.
type Config struct {
	// MaxBody is the size limit of a request body in bytes; 0 means 1 MiB.
	MaxBody int64
	// MaxEventsBody is the same for /v1/events; 0 means 8 MiB.
	MaxEventsBody int64
	// MaxInFlight is how many requests of the data plane may run at once; more are shed with 503. 0 means 256.
	MaxInFlight int
	// Timeout is the deadline of a request, and the most that X-Request-Timeout-Ms can ask for; 0 means 10 s.
	// An export has no deadline but the writer's.
	Timeout time.Duration
	// Rate is how many requests a second each key may send; 0 means no limit.
	Rate float64
	// Burst is how many may come at once within Rate; 0 means one second's worth.
	Burst int
	// AllowedOrigins are the origins whose pages may call the data plane from a browser (CORS), "*" for any. Empty
	// means only the server's own page.
	AllowedOrigins []string
	// LogEvery logs one of so many requests that went well or failed by the client's doing; those that failed by ours
	// are always logged. 0 means 100, 1 every one.
	LogEvery int
	// ReadHeaderTimeout, ReadTimeout, WriteTimeout and IdleTimeout are those of http.Server; 0 means 5 s, 30 s, 60 s
	// and 120 s.
	ReadHeaderTimeout, ReadTimeout, WriteTimeout, IdleTimeout time.Duration
	// MaxHeader is the size limit of the request headers in bytes; 0 means 64 KiB.
	MaxHeader int
}

func (c Config) withDefaults() Config {
	orElse(&c.MaxBody, 1<<20)
	orElse(&c.MaxEventsBody, 8<<20)
	orElse(&c.MaxInFlight, 256)
	orElse(&c.Timeout, 10*time.Second)
	orElse(&c.LogEvery, 100)
	orElse(&c.ReadHeaderTimeout, 5*time.Second)
	orElse(&c.ReadTimeout, 30*time.Second)
	orElse(&c.WriteTimeout, 60*time.Second)
	orElse(&c.IdleTimeout, 120*time.Second)
	orElse(&c.MaxHeader, 64<<10)
	return c
}

func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

// Validate reports every setting that cannot be.
func (c Config) Validate() error {
	var faults []error
	for name, v := range map[string]float64{
		"max body": float64(c.MaxBody), "max events body": float64(c.MaxEventsBody), "max in flight": float64(c.MaxInFlight),
		"timeout": float64(c.Timeout), "rate": c.Rate, "burst": float64(c.Burst), "log every": float64(c.LogEvery),
		"read header timeout": float64(c.ReadHeaderTimeout), "read timeout": float64(c.ReadTimeout),
		"write timeout": float64(c.WriteTimeout), "idle timeout": float64(c.IdleTimeout), "max header": float64(c.MaxHeader),
	} {
		if !(v >= 0) {
			faults = append(faults, fmt.Errorf("%s must not be negative", name))
		}
	}
	return errors.Join(faults...)
}

// HTTPServer returns a server for one of the handlers with the limits and timeouts of the configuration. The caller
// sets its address or listener and owns its life; Shutdown drains it. Errors of connections go to log.
func (c Config) HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	c = c.withDefaults()
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: c.ReadHeaderTimeout,
		ReadTimeout:       c.ReadTimeout,
		WriteTimeout:      c.WriteTimeout,
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    c.MaxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
