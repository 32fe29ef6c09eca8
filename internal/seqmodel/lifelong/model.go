package lifelong

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"seqrec/internal/tensor"
)

// Model is one member of the family: parameters, a search and two heads. Its
// weights are read by any number of scorers at once; a Trainer writes them and
// must be alone.
type Model struct {
	config     Config
	params     *tensor.Params
	categories []int32 // code of each item; nil without categories
	represent  *tables
	search     search
	main, aux  *head           // aux is nil for members that search without learning
	regular    []*tensor.Param // what the penalty on squares counts
}

// search is what tells the members of the family apart: how a history becomes
// one vector for each candidate.
type search interface {
	// aggregate gives u, one row a candidate. While learning with an auxiliary
	// head it also gives the vector over the whole history, else nil.
	aggregate(t *tensor.Tape, in *input) (u, full *tensor.Var)
	// auxiliary says whether the member has an auxiliary head at all.
	auxiliary() bool
}

// Kinds lists the names New knows.
func Kinds() []string {
	return []string{"dare", "twin", "twin-v2", "eta", "sdim", "sim", "sim-hard", "din"}
}

// newSearch declares the parameters of a member.
func newSearch(p *tensor.Params, c Config, represent *tables) (search, error) {
	switch c.Model {
	case "dare":
		return newDARE(p, c, represent), nil
	case "twin", "twin-v2":
		return newTWIN(p, c, represent), nil
	case "eta":
		return newETA(p, c, represent), nil
	case "sdim":
		return newSDIM(p, c, represent), nil
	case "sim", "sim-hard":
		return newSIM(p, c, represent)
	case "din":
		return newDIN(p, c, represent), nil
	}
	return nil, fmt.Errorf("lifelong model %q is unknown, want one of %v", c.Model, Kinds())
}

// New makes a model with fresh weights. categories gives the category code of
// each item, each below c.Categories; it is nil when there are none. Equal
// configs and seeds give equal weights.
func New(c Config, categories []int32, seed uint64) (*Model, error) {
	c = c.WithDefaults()
	m, err := declare(c, categories)
	if err != nil {
		return nil, err
	}
	m.params.Alloc()
	m.initialise(seed)
	return m, nil
}

// declare makes a model whose parameters have names and shapes but no memory
// yet.
func declare(c Config, categories []int32) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := checkCategories(c, categories); err != nil {
		return nil, err
	}
	m := &Model{config: c, params: tensor.NewParams(tensor.CPU{})}
	if c.Categories > 0 {
		m.categories = slices.Clone(categories)
	}
	m.represent = newTables(m.params, "represent.", c, c.Width)
	var err error
	if m.search, err = newSearch(m.params, c, m.represent); err != nil {
		return nil, err
	}
	z := 3 * m.represent.width()
	if c.NoProduct {
		z -= m.represent.width()
	}
	m.main = newHead(m.params, "main.", z, c.Hidden[:])
	if m.search.auxiliary() && !c.NoAuxiliary {
		m.aux = newHead(m.params, "auxiliary.", z, c.Hidden[:1])
	}
	for _, q := range m.params.List() {
		if !strings.Contains(q.Name, "bias") && !isTable(q.Name) && !isFixed(q.Name) {
			m.regular = append(m.regular, q)
		}
	}
	return m, nil
}

func checkCategories(c Config, categories []int32) error {
	if c.Categories == 0 {
		return nil
	}
	if len(categories) != c.Items {
		return fmt.Errorf("lifelong model: categories of %d items, want those of %d", len(categories), c.Items)
	}
	for i, code := range categories {
		if code < 0 || int(code) >= c.Categories {
			return fmt.Errorf("lifelong model: item %d has category %d, want 0 to %d", i, code, c.Categories-1)
		}
	}
	return nil
}

// isTable says whether a parameter is an embedding table.
func isTable(name string) bool {
	return strings.HasPrefix(name, "represent.") || strings.HasPrefix(name, "attend.")
}

// isFixed says whether a parameter is never learned by gradients: random
// projections of hashes and running moments.
func isFixed(name string) bool { return name == "hash" || strings.Contains(name, ".running.") }

// initialise draws every parameter that is not a bias from a normal
// distribution, and starts running variances at one.
func (m *Model) initialise(seed uint64) {
	for i, p := range m.params.List() {
		host := make([]float32, p.Val.Len())
		std := float64(m.config.InitStd)
		switch {
		case strings.Contains(p.Name, "bias"), strings.HasSuffix(p.Name, ".running.mean"):
			std = 0
		case p.Name == "hash":
			std = 1
		}
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		for j := range host {
			host[j] = float32(rng.NormFloat64() * std)
		}
		if strings.HasSuffix(p.Name, ".running.variance") {
			for j := range host {
				host[j] = 1
			}
		}
		m.params.Device().Upload(p.Val, host)
	}
}

// Config is the complete configuration.
func (m *Model) Config() Config { return m.config }

// Params lists every learned matrix in a fixed order.
func (m *Model) Params() *tensor.Params { return m.params }

// Items is the catalogue size.
func (m *Model) Items() int { return m.config.Items }

// Categories is the category code of each item, nil when there are none. It must
// not be written.
func (m *Model) Categories() []int32 { return m.categories }

// Describe is one line for people: "dare dA16 dR16 K20 N200".
func (m *Model) Describe() string {
	c := m.config
	return fmt.Sprintf("%s dA%d dR%d K%d N%d", c.Model, c.AttentionWidth, c.Width, c.Select, c.Length)
}

// forward gives the last hidden layer of the main head, one row a candidate,
// and while learning that of the auxiliary head, or nil.
func (m *Model) forward(t *tensor.Tape, in *input) (main, aux *tensor.Var) {
	u, full := m.search.aggregate(t, in)
	target := m.represent.vectors(t, &in.candidates)
	main = m.main.forward(t, in, m.features(t, target, u), m.config.Epsilon)
	if m.aux != nil && full != nil {
		aux = m.aux.forward(t, in, m.features(t, target, full), m.config.Epsilon)
	}
	return main, aux
}

// features is z = [r_t ; u ; u*r_t].
func (m *Model) features(t *tensor.Tape, target, u *tensor.Var) *tensor.Var {
	if m.config.NoProduct {
		return t.Concat(target, u)
	}
	return t.Concat(target, u, t.Mul(u, target))
}
