package main

import (
	"context"
	"errors"
	"time"

	"seqrec/internal/bucket"
	"seqrec/internal/registry"
)

// openRegistry opens the folder of versions, or the one that mirrors a bucket. A
// bucket that cannot be reached does not keep the service from starting with what
// the folder holds.
func (s *server) openRegistry(ctx context.Context) (reg *registry.Registry, err error) {
	if !bucket.Is(s.cfg.Registry) {
		return registry.Open(s.cfg.Registry)
	}
	b, err := bucket.Open(ctx, s.cfg.Registry)
	if err != nil {
		return nil, err
	}
	if reg, s.mirror, err = registry.OpenMirror(b, s.cfg.Cache, registry.Options{}); err != nil {
		return nil, err
	}
	if err := s.mirror.Pull(ctx); err != nil {
		s.log.Warn("the bucket gives no version; what its mirror holds is served", "registry", b.Name(), "reason", err)
	}
	return reg, nil
}

// pull keeps the mirror in step until ctx ends. The watcher of the folder serves
// what arrives.
func (s *server) pull(ctx context.Context) {
	tick := time.NewTicker(s.cfg.Watch)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.mirror.Pull(ctx)
		switch {
		case err == nil:
			said = ""
		case ctx.Err() != nil || errors.Is(err, registry.ErrNoCurrent):
		case err.Error() != said: // once for each different fault
			said = err.Error()
			s.log.Error("pull from the registry's bucket", "error", err)
		}
	}
}

func (s *server) closeMirror() error {
	if s.mirror == nil {
		return nil
	}
	return s.mirror.Close()
}
