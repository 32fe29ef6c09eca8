package kernel

// PanelWidth is the number of table rows that lie side by side in one panel.
const PanelWidth = 32

// Panels is an item table packed for products X·tableᵀ: PanelWidth rows of the
// table become one panel of d lines with PanelWidth values each, so that the
// product runs at the speed of GemmNN however many queries there are. The zero
// value holds an empty table. After Pack, any number of goroutines may call Mul.
type Panels struct {
	data []float32 // [ceil(n/PanelWidth)][d][PanelWidth]; columns past n are never used
	n, d int
}

// Pack copies the n×d table into p, reusing its memory.
//
//	for i, j: p.data[i/PanelWidth][j][i%PanelWidth] = table[i*ld+j]
func (p *Panels) Pack(table []float32, ld, n, d int) {
	checkMatrix(n, d, ld, len(table))
	p.n, p.d = n, d
	panels := (n + PanelWidth - 1) / PanelWidth
	size := panels * d * PanelWidth
	if cap(p.data) < size {
		p.data = make([]float32, size)
	}
	p.data = p.data[:size]
	if d == 0 {
		return
	}
	for i := range panels {
		rows := min(PanelWidth, n-i*PanelWidth)
		packPanel(p.data[i*d*PanelWidth:(i+1)*d*PanelWidth], table[i*PanelWidth*ld:], ld, rows, d)
	}
}

// Rows returns the number of packed table rows.
func (p *Panels) Rows() int { return p.n }

// Width returns the number of values in each packed row.
func (p *Panels) Width() int { return p.d }

// Lend lends rows lo to hi-1 where they lie, so that Panels are the keys of a Search.
func (p *Panels) Lend(lo, hi int, _ []float32) []float32 {
	if lo < 0 || lo%PanelWidth != 0 || hi < lo || hi > p.n {
		panic(badPanels)
	}
	return p.data[lo*p.d : (hi+PanelWidth-1)/PanelWidth*PanelWidth*p.d]
}

// Mul writes X · table[lo:hi]ᵀ to dst. X is m×d, dst is m×(hi-lo); lo must be a
// multiple of PanelWidth and hi at most the number of packed rows.
//
//	for i, j: dst[i*ldd+j] = Σp x[i*ldx+p]*table[(lo+j)*ld+p]
func (p *Panels) Mul(m int, x []float32, ldx int, lo, hi int, dst []float32, ldd int) {
	if lo < 0 || lo%PanelWidth != 0 || hi < lo || hi > p.n {
		panic(badPanels)
	}
	checkMatrix(m, p.d, ldx, len(x))
	checkMatrix(m, hi-lo, ldd, len(dst))
	for j := lo; j < hi && m > 0; j += PanelWidth {
		n := min(PanelWidth, hi-j)
		panel := p.data[j*p.d : (j+PanelWidth)*p.d]
		gemmNN(m, n, p.d, x, ldx, panel, PanelWidth, dst[j-lo:], ldd, false)
	}
}

// PackPanel packs rows (1 to PanelWidth) of a table into one panel, for callers with
// memory of their own. The columns past rows may hold anything afterwards.
//
//	for i < rows, p < d: dst[p*PanelWidth+i] = table[i*ld+p]
func PackPanel(dst, table []float32, ld, rows, d int) {
	if rows < 1 || rows > PanelWidth {
		panic(badPanels)
	}
	checkMatrix(rows, d, ld, len(table))
	checkMatrix(d, PanelWidth, PanelWidth, len(dst))
	if d > 0 {
		packPanel(dst, table, ld, rows, d)
	}
}

// packPanelGeneric transposes rows (at most PanelWidth) of d values into the first
// columns of a panel.
//
//	for i < rows, p < d: dst[p*PanelWidth+i] = table[i*ld+p]
func packPanelGeneric(dst, table []float32, ld, rows, d int) {
	for p := range d {
		line := dst[p*PanelWidth : (p+1)*PanelWidth]
		for i := range rows {
			line[i] = table[i*ld+p]
		}
	}
}
