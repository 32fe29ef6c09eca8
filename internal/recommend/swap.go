package recommend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Serve puts a loaded version in place: it is warmed with golden requests first
// and refused if it does not answer them well; then what ran before goes on.
// Requests that hold the old version keep it until they leave.
func (s *Service) Serve(ctx context.Context, l *Loaded) error {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	c, err := s.warmed(l)
	if err != nil {
		return err
	}
	return s.serve(ctx, c)
}

// warmed is the core of a loaded version that has answered the golden requests.
func (s *Service) warmed(l *Loaded) (*core, error) {
	c, err := warm(l, s.cfg.Workers, s.cfg.MaxBatch)
	if err != nil {
		return nil, fmt.Errorf("serve version %s: %w: %w", l.Info.Version, ErrRefused, err)
	}
	return c, nil
}

// serve puts a core in place. It takes over the caller's reference.
func (s *Service) serve(ctx context.Context, c *core) error {
	s.swapMu.Lock()
	defer s.swapMu.Unlock()
	cat, err := s.overlaid(ctx, c)
	if err != nil {
		c.release()
		return fmt.Errorf("serve version %s: %w", c.info.Version, err)
	}
	if s.closed.Load() {
		c.release()
		return ErrClosed
	}
	s.publish(newSnapshot(c, cat))
	return nil
}

// overlaid is the catalog of a version with what the store holds laid over it.
func (s *Service) overlaid(ctx context.Context, c *core) (*catalog, error) {
	cat := newCatalog(c)
	if s.store == nil {
		return cat, nil
	}
	err := s.store.EachItem(ctx, func(item CatalogItem) error {
		cat.set(c, &item)
		return nil
	})
	if err != nil {
		return nil, storeError(ctx, "read items", err)
	}
	return cat, nil
}

// Reload serves the version that is current in the registry, if it is not
// serving already. ErrNoModel if there is no current version.
func (s *Service) Reload(ctx context.Context) error {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	version, err := s.currentVersion()
	if err != nil {
		return err
	}
	if _, left := s.left.Load(version); left {
		return nil // what serves was preferred to it
	}
	return s.load(ctx, version)
}

// Start serves the current version or, if that cannot be, the newest of those
// that were current before: after a restart a broken folder must not take the
// service down. The error is what keeps the current version from serving, also
// when another one serves in its place.
func (s *Service) Start(ctx context.Context) error {
	why := s.Reload(ctx)
	if why == nil || s.versions == nil {
		return why
	}
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	past, err := s.versions.Past()
	if err != nil {
		return errors.Join(why, err)
	}
	for _, version := range past {
		if err := s.load(ctx, version); err == nil {
			s.cfg.Log.Error("the current version cannot be served; one that was current before serves", "version", version, "reason", why)
			return why
		}
	}
	return why
}

func (s *Service) currentVersion() (string, error) {
	if s.versions == nil {
		return "", ErrNoModel
	}
	version, err := s.versions.Current()
	if err != nil {
		return "", fmt.Errorf("name current version: %w", err)
	}
	if version == "" {
		return "", ErrNoModel
	}
	return version, nil
}

// load loads a version aside and serves it. Callers hold loadMu.
func (s *Service) load(ctx context.Context, version string) (err error) {
	before := ""
	if snap := s.current.Load(); snap != nil {
		if before = snap.info.Version; before == version {
			return nil
		}
	}
	start := s.cfg.Now()
	defer func() {
		took := s.cfg.Now().Sub(start)
		s.cfg.Observer.Swapped(version, took, err)
		if err != nil {
			return // the caller tells, once
		}
		s.cfg.Log.Info("model serving", "version", version, "took", took)
	}()
	c := s.drop(version)
	if c == nil {
		c, err = s.open(version)
	}
	if err == nil {
		err = s.serve(ctx, c)
	}
	if errors.Is(err, ErrRefused) {
		s.refused.Store(version, err.Error())
	} else if err == nil {
		s.refused.Delete(version)
		s.watch(version, before)
	}
	return err
}

// Promote serves a version and makes it current. If it is refused (ErrRefused)
// or unknown (ErrUnknownModel), or the registry cannot note it, the version that
// is current goes on serving.
func (s *Service) Promote(ctx context.Context, version string) (ModelInfo, error) {
	if s.versions == nil {
		return ModelInfo{}, ErrUnknownModel
	}
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	s.left.Delete(version)
	if err := s.load(ctx, version); err != nil {
		return ModelInfo{}, err
	}
	if err := s.versions.Promote(version); err != nil {
		return ModelInfo{}, errors.Join(fmt.Errorf("promote version %s: %w", version, err), s.goBack(ctx))
	}
	return s.Model(ctx, version)
}

// goBack serves what the registry calls current, after a promotion that it did
// not take. Callers hold loadMu.
func (s *Service) goBack(ctx context.Context) error {
	version, err := s.currentVersion()
	if errors.Is(err, ErrNoModel) { // then this one serves better than none
		return nil
	}
	if err != nil {
		return err
	}
	return s.load(ctx, version)
}

// Rollback goes back to the version that was current before. ErrUnknownModel if
// there was none. If it is refused the current version stays.
func (s *Service) Rollback(ctx context.Context) (ModelInfo, error) {
	if s.versions == nil {
		return ModelInfo{}, ErrUnknownModel
	}
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	before, err := s.currentVersion()
	if err != nil {
		return ModelInfo{}, err
	}
	version, err := s.versions.Rollback(before)
	if err != nil {
		return ModelInfo{}, fmt.Errorf("roll back from %s: %w", before, err)
	}
	if err := s.load(ctx, version); err != nil {
		return ModelInfo{}, errors.Join(err, s.versions.Promote(before))
	}
	s.guard.Store(nil) // nobody wants to be led back to what was left
	return s.Model(ctx, version)
}

// Watch serves each version that becomes current until ctx ends. A version that
// is refused is shown by Models and tried again later (its folder may still be
// arriving); what ran before goes on.
func (s *Service) Watch(ctx context.Context, every time.Duration) error {
	// What was current when the watcher looked may no longer be.
	accept := func(string) error { return s.Reload(ctx) }
	fault := func(err error) { s.cfg.Log.Error("watch for versions", "error", err) }
	err := s.versions.Watch(ctx, every, accept, fault)
	if errors.Is(err, ctx.Err()) { // asked to end
		return nil
	}
	return err
}

// Models describes every published version, newest first.
func (s *Service) Models(ctx context.Context) ([]ModelInfo, error) {
	if err := contextError(ctx); err != nil {
		return nil, err
	}
	serving := s.serving()
	if s.versions == nil {
		if serving == nil {
			return nil, nil
		}
		return []ModelInfo{*serving}, nil
	}
	infos, err := s.versions.List()
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	current, err := s.versions.Current()
	if err != nil {
		// The list is what an operator looks at to put this right.
		s.cfg.Log.Warn("name current version", "error", err)
	}
	for i := range infos {
		s.state(&infos[i], serving, current)
	}
	return infos, nil
}

// state says what a version is to this service.
func (s *Service) state(info *ModelInfo, serving *ModelInfo, current string) {
	why, refused := s.refused.Load(info.Version)
	if !refused {
		why, refused = s.left.Load(info.Version)
	}
	held, aside := s.aside.Load(info.Version)
	if aside {
		info.Describe = held.(*core).model.Describe()
	}
	sh := s.shadow.Load()
	switch {
	case serving != nil && serving.Version == info.Version:
		info.State, info.Describe = "serving", serving.Describe
	case sh != nil && sh.snap.info.Version == info.Version:
		info.State = "shadow"
	case aside:
		info.State = "loaded"
	case refused:
		info.State, info.Problem = "refused", why.(string)
	case info.Problem != "":
		info.State = "refused"
	case info.Version == current:
		info.State = "current"
	default:
		info.State = "available"
	}
}

// serving describes the version in place, nil if there is none.
func (s *Service) serving() *ModelInfo {
	snap := s.current.Load()
	if snap == nil {
		return nil
	}
	info := snap.info
	info.State, info.Describe = "serving", snap.model.Describe()
	return &info
}

// Model describes one version; "current" is the one that serves.
func (s *Service) Model(ctx context.Context, version string) (ModelInfo, error) {
	if version == "" || version == "current" {
		if info := s.serving(); info != nil {
			return *info, nil
		}
		return ModelInfo{}, ErrNoModel
	}
	infos, err := s.Models(ctx)
	if err != nil {
		return ModelInfo{}, err
	}
	for _, info := range infos {
		if info.Version == version {
			return info, nil
		}
	}
	return ModelInfo{}, fmt.Errorf("version %q: %w", version, ErrUnknownModel)
}

// Ready names each condition of being able to answer.
func (s *Service) Ready(ctx context.Context) []Check {
	model := Check{Name: "model", Detail: "none is loaded"}
	if info := s.serving(); info != nil {
		model.OK, model.Detail = true, info.Version+" ("+info.Describe+")"
	}
	waiting, room := len(s.batcher.queue), cap(s.batcher.queue)
	queue := Check{Name: "queue", OK: waiting < room, Detail: fmt.Sprintf("%d of %d wait", waiting, room)}
	store := Check{Name: "store", OK: true, Detail: "none is configured"}
	if s.store != nil {
		store.Detail = "reads"
		if _, err := s.store.Recent(ctx, "readiness-probe", 1); err != nil {
			store.OK, store.Detail = false, "does not read"
		}
	}
	return []Check{model, store, queue}
}
