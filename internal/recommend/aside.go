package recommend

import (
	"context"
	"errors"
	"fmt"
)

// maxAside bounds the versions that are held beside the one that serves: each
// takes as much memory as that one.
const maxAside = 3

// Load loads, verifies and warms a version and holds it aside, so that a promotion
// only has to put it in place. It answers nobody. Errors: ErrUnknownModel,
// ErrRefused, ErrConflict when it serves or too many are held.
func (s *Service) Load(ctx context.Context, version string) (ModelInfo, error) {
	if s.versions == nil {
		return ModelInfo{}, ErrUnknownModel
	}
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	if _, err := s.hold(version); err != nil {
		return ModelInfo{}, err
	}
	return s.Model(ctx, version)
}

// Unload lets a version go that Load or Shadow holds, and ends its shadow traffic.
// ErrConflict when it serves, ErrUnknownModel when it is not held.
func (s *Service) Unload(ctx context.Context, version string) (ModelInfo, error) {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	if s.serves(version) {
		return ModelInfo{}, fmt.Errorf("unload version %s: %w: it serves", version, ErrConflict)
	}
	c := s.drop(version)
	if c == nil {
		return ModelInfo{}, fmt.Errorf("unload version %s: it is not loaded: %w", version, ErrUnknownModel)
	}
	c.release()
	return s.Model(ctx, version)
}

// Shadow gives a version a sampled copy of the predictions asked for, on spare
// capacity, and tells the observer how alike its answers are. None of them leaves.
// There is one shadow at a time; the version is loaded if it is not held already.
// Errors are those of Load.
func (s *Service) Shadow(ctx context.Context, version string) (ModelInfo, error) {
	if s.versions == nil {
		return ModelInfo{}, ErrUnknownModel
	}
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	c, err := s.hold(version)
	if err != nil {
		return ModelInfo{}, err
	}
	cat, err := s.overlaid(ctx, c)
	if err != nil {
		return ModelInfo{}, err
	}
	if s.closed.Load() {
		return ModelInfo{}, ErrClosed
	}
	c.retain() // cannot fail: it is held
	s.endShadow()
	s.shadow.Store(startShadow(newSnapshot(c, cat), s.cfg))
	s.cfg.Log.Info("shadow traffic", "version", version, "share", s.cfg.ShadowShare)
	return s.Model(ctx, version)
}

// hold gives the core of a version held aside, loading it if need be. Callers hold
// loadMu.
func (s *Service) hold(version string) (*core, error) {
	if s.serves(version) {
		return nil, fmt.Errorf("version %s: %w: it serves", version, ErrConflict)
	}
	if held, ok := s.aside.Load(version); ok {
		return held.(*core), nil
	}
	n := 0
	s.aside.Range(func(any, any) bool { n++; return true })
	if n >= maxAside {
		return nil, fmt.Errorf("version %s: %w: %d versions are held already; unload one", version, ErrConflict, n)
	}
	c, err := s.open(version)
	if err == nil {
		s.aside.Store(version, c)
	}
	return c, err
}

// open loads a version from the registry and warms it.
func (s *Service) open(version string) (*core, error) {
	l, err := s.versions.Load(version)
	if errors.Is(err, ErrUnknownModel) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("load version %s: %w: %w", version, ErrRefused, err)
	}
	return s.warmed(l)
}

// drop takes a version out of those held, with its shadow; the caller owns the
// reference that comes back. nil if it is not held.
func (s *Service) drop(version string) *core {
	if sh := s.shadow.Load(); sh != nil && sh.snap.info.Version == version {
		s.endShadow()
	}
	held, ok := s.aside.LoadAndDelete(version)
	if !ok {
		return nil
	}
	return held.(*core)
}

func (s *Service) serves(version string) bool {
	snap := s.current.Load()
	return snap != nil && (snap.info.Version == version || version == "current")
}

// endShadow ends the shadow traffic, if there is any, and waits for it.
func (s *Service) endShadow() {
	if sh := s.shadow.Swap(nil); sh != nil {
		sh.end()
	}
}

// letAsideGo releases everything held beside the serving version.
func (s *Service) letAsideGo() {
	s.endShadow()
	s.aside.Range(func(version, _ any) bool {
		if c := s.drop(version.(string)); c != nil {
			c.release()
		}
		return true
	})
}
