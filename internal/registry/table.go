package registry

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// String gives the version as a line for people.
func (i Info) String() string {
	return fmt.Sprintf("%s  %s  %s  %s  %d items  %s%s",
		i.Version, i.created(), orDash(i.Manifest.Kind), orDash(i.Manifest.Name), i.Manifest.Items, size(i.Bytes), i.state(", "))
}

// WriteTable writes a list of versions as an aligned table with a heading.
func WriteTable(w io.Writer, infos []Info) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "VERSION\tCREATED\tKIND\tNAME\tITEMS\tSIZE\tSTATE")
	for _, i := range infos {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", i.Version, i.created(),
			i.kind(), orDash(i.Manifest.Name), i.Manifest.Items, size(i.Bytes), i.state(""))
	}
	return t.Flush() // which also gives the errors of the writes above
}

// state says whether the version is served, would be rolled back to, or is broken;
// lead goes before it when there is anything to say.
func (i Info) state(lead string) string {
	switch {
	case i.Fault != nil && i.Current:
		return lead + "current, broken: " + i.Fault.Error()
	case i.Fault != nil:
		return lead + "broken: " + i.Fault.Error()
	case i.Current:
		return lead + "current"
	case i.Rollback:
		return lead + "rollback"
	}
	return ""
}

// kind is that of the first stage, and whether there is a second.
func (i Info) kind() string {
	if i.Manifest.Reranker != nil {
		return orDash(i.Manifest.Kind) + " + 2nd stage"
	}
	return orDash(i.Manifest.Kind)
}

func (i Info) created() string {
	if i.Manifest.Created.IsZero() {
		return "-"
	}
	return i.Manifest.Created.UTC().Format(time.DateTime)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// size prints bytes with a decimal unit.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
