//go:build amd64 && !purego

package kernel

func scoreTile(t *searchTile, panels, d int, queries, keys, bias, bars []float32) {
	scoreTileGeneric(t, panels, d, queries, keys, bias, bars)
}
