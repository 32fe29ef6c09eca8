package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// The scopes a key may have. A key that has only ScopeEvents may be public.
const (
	ScopePredict = "predict" // ask for predictions; read histories, items and models
	ScopeEvents  = "events"  // send events
	ScopeItems   = "items"   // change and read items
	ScopeAdmin   = "admin"   // operate models; read, export and erase users
)

// Key is one API key. The key itself is never held, only its hash.
type Key struct {
	Name   string   // for logs and metrics; not secret
	SHA256 string   // of the key, 64 hexadecimal digits
	Scopes []string // of the Scope constants
	Rate   float64  // requests a second; 0 takes Config.Rate
	Burst  int      // 0 takes Config.Burst
}

// Keys is the set of keys that are valid now. It may be replaced while requests run. An empty set lets everybody in
// with every scope: what a laptop wants. cmd refuses it for an open admin address and warns of it for an open data one.
type Keys struct {
	rate  float64
	burst int
	set   atomic.Pointer[keySet]
}

type keySet struct {
	keys   []heldKey
	anyone heldKey // who is let in when there are no keys
}

type heldKey struct {
	Key
	hash  [sha256.Size]byte
	limit *rate.Limiter // nil without a limit
}

// newKeys returns an empty set; perSecond and burst are the limits of keys without their own.
func newKeys(perSecond float64, burst int) *Keys {
	k := &Keys{rate: perSecond, burst: burst}
	k.set.Store(&keySet{anyone: heldKey{Key: Key{Name: "anyone"}, limit: k.limiter(0, 0)}})
	return k
}

// CheckKeys reports every fault that Replace would.
func CheckKeys(keys []Key) error { return newKeys(0, 0).Replace(keys) }

// Replace puts another set of keys in place at once, or reports every fault and keeps the old one. A key that stays
// keeps what it has used of its rate, unless its limits changed.
func (k *Keys) Replace(keys []Key) error {
	old := k.set.Load()
	next := &keySet{anyone: old.anyone}
	var faults []error
	for i, key := range keys {
		held, err := k.hold(key, old)
		if err != nil {
			faults = append(faults, fmt.Errorf("key %d (%q): %w", i, key.Name, err))
		}
		if slices.ContainsFunc(keys[:i], func(k Key) bool { return k.Name == key.Name }) {
			faults = append(faults, fmt.Errorf("key %d (%q): another key has this name", i, key.Name))
		}
		next.keys = append(next.keys, held)
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	k.set.Store(next)
	return nil
}

func (k *Keys) hold(key Key, old *keySet) (heldKey, error) {
	held := heldKey{Key: key, limit: k.limiter(key.Rate, key.Burst)}
	var faults []error
	raw, err := hex.DecodeString(key.SHA256)
	if err != nil || len(raw) != sha256.Size {
		faults = append(faults, errors.New("sha256 must be 64 hexadecimal digits"))
	}
	copy(held.hash[:], raw)
	if key.Name == "" {
		faults = append(faults, errors.New("name must not be empty"))
	}
	if !(key.Rate >= 0) || key.Burst < 0 {
		faults = append(faults, errors.New("rate and burst must not be negative"))
	}
	for _, scope := range key.Scopes {
		if !slices.Contains([]string{ScopePredict, ScopeEvents, ScopeItems, ScopeAdmin}, scope) {
			faults = append(faults, fmt.Errorf("unknown scope %q", scope))
		}
	}
	if len(faults) > 0 {
		return held, errors.Join(faults...)
	}
	for _, before := range old.keys {
		if before.hash == held.hash && before.Rate == key.Rate && before.Burst == key.Burst {
			held.limit = before.limit
		}
	}
	return held, nil
}

func (k *Keys) limiter(perSecond float64, burst int) *rate.Limiter {
	if perSecond == 0 {
		perSecond = k.rate
	}
	if burst == 0 {
		burst = k.burst
	}
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(burst, int(perSecond), 1))
}

// find returns who sent the request. It compares with every key in constant time, so how long it takes says nothing.
func (k *Keys) find(r *http.Request) (*heldKey, *failure) {
	set := k.set.Load()
	if len(set.keys) == 0 {
		return &set.anyone, nil
	}
	presented := presentedKey(r)
	if presented == "" {
		return nil, &failure{kind: unauthorized}
	}
	hash := sha256.Sum256([]byte(presented))
	var found *heldKey
	for i := range set.keys {
		if subtle.ConstantTimeCompare(hash[:], set.keys[i].hash[:]) == 1 {
			found = &set.keys[i]
		}
	}
	if found == nil {
		return nil, &failure{kind: unauthorized}
	}
	return found, nil
}

func presentedKey(r *http.Request) string {
	if scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	return r.Header.Get("X-API-Key")
}

// allows says whether the key has one of the scopes; the holder of an empty set of keys has them all.
func (h *heldKey) allows(scopes ...string) bool {
	if h.SHA256 == "" {
		return true
	}
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(h.Scopes, s) })
}
