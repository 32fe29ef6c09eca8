package features

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Format names the layout of an interaction file.
type Format string

// The formats Read knows. FormatAuto looks at the content first (Parquet, gzip
// and zstd magic numbers, "::" separators, JSON, a header line), so a wrong
// file name does not matter.
const (
	FormatAuto    Format = ""
	FormatCSV     Format = "csv"     // header line; comma, tab or semicolon; MovieLens ratings.csv and the like
	FormatDat     Format = "dat"     // MovieLens ratings.dat: user::item::rating::time
	FormatAmazon  Format = "amazon"  // no header: user,item,rating,time
	FormatInter   Format = "inter"   // RecBole: tabs, header of name:type
	FormatNDJSON  Format = "ndjson"  // one {"user","item","kind","time"} a line
	FormatParquet Format = "parquet" // columns user_id, item_id, timestamp
	FormatTaobao  Format = "taobao"  // UserBehavior.csv, no header: user,item,category,behaviour,time
	FormatTmall   Format = "tmall"   // user_log_format1.csv, a header: days as MMDD
)

// Columns names the columns of a file with a header. Empty names are found by
// the usual ones: user_id, userId, user, visitorid, customer_id; item_id,
// movieId, item, product_id, parent_asin, asin; timestamp, time, ts, date;
// behavior, kind, event, event_type; rating, stars, score. Case, underscores and a
// RecBole ":type" do not matter. The name "-" means to use no such column.
//
// A file without a header is read by naming places instead, "#1" the first:
// {User: "#2", Item: "#1", Time: "#4"}; what is not named is then not used.
type Columns struct {
	User, Item, Time, Kind, Rating string
}

// ReadOptions configures Read. The zero value reads everything.
//
// MinRating, Kinds and DropItems choose rows while reading. The rest work on
// what is left, in this order: MinItemCount, MinUserCount, KCore, Users.
type ReadOptions struct {
	Format        Format
	Columns       Columns
	TimeUnit      TimeUnit
	MinRating     float64  // keep ratings of at least this; 0 keeps rows without rating too
	Kinds         []string // keep these kinds; none keeps all, of a shop log (taobao, tmall) only what was looked at
	DropItems     []string // leave these items out
	MinItemCount  int      // leave out items with fewer events, once; users keep their other events
	MinUserCount  int      // leave out users with fewer events, once
	KCore         int      // leave out users and items with fewer events until none is left
	Users         int      // keep the first this many users; 0 keeps all
	KeepPlaces    bool     // events of items that DropItems, MinItemCount and KCore leave out stay, as item -1; no rule counts them
	MaxFaultShare float64  // more bad rows than this share is an error; 0 is one half
}

// Validate fills in defaults and reports settings that make no sense.
func (o *ReadOptions) Validate() error {
	if o.MaxFaultShare == 0 {
		o.MaxFaultShare = 0.5
	}
	switch {
	case !(o.MaxFaultShare >= 0 && o.MaxFaultShare <= 1):
		return fmt.Errorf("largest share of bad rows %g is outside 0 to 1", o.MaxFaultShare)
	case math.IsNaN(o.MinRating):
		return errors.New("the smallest rating is not a number")
	case math.IsNaN(o.TimeUnit.millis()):
		return fmt.Errorf("unknown time unit %q (want s, ms, us or ns)", o.TimeUnit)
	case o.MinItemCount < 0 || o.MinUserCount < 0 || o.KCore < 0 || o.Users < 0:
		return errors.New("a smallest count is negative")
	}
	switch o.Format {
	case FormatAuto, FormatCSV, FormatDat, FormatAmazon, FormatInter, FormatNDJSON, FormatParquet, FormatTaobao, FormatTmall:
		return nil
	}
	return fmt.Errorf("unknown format %q", o.Format)
}

// Read is ReadContext that nothing stops.
func Read(path string, opt ReadOptions) (*Dataset, *Report, error) {
	return ReadContext(context.Background(), path, opt)
}

// ReadContext reads an interaction file, or the interaction file of a folder, plain or
// compressed by gzip or zstd. Bad rows are counted in the report and passed
// over; when there are more of them than MaxFaultShare the error wraps
// ErrMostlyFault, and ErrNoEvents when nothing is left. The report is then
// still returned, with the faults. A file that ends in the middle of its
// compression is an error, and so is the end of ctx.
func ReadContext(ctx context.Context, path string, opt ReadOptions) (*Dataset, *Report, error) {
	path, err := findFile(path, interactionNames())
	if err != nil {
		return nil, nil, fmt.Errorf("read interactions: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read interactions: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	d, rep, err := ReadFrom(&untilDone{ctx: ctx, f: f}, opt)
	if rep != nil {
		rep.Source = path
	}
	if err != nil {
		return nil, rep, fmt.Errorf("read interactions %s: %w", path, err)
	}
	return d, rep, nil
}

// ReadFrom is Read for an open file. Parquet needs in to be an io.ReaderAt and
// io.Seeker too.
func ReadFrom(in io.Reader, opt ReadOptions) (*Dataset, *Report, error) {
	if err := opt.Validate(); err != nil {
		return nil, nil, err
	}
	r := newRows(&opt)
	format, err := r.read(in)
	if err != nil {
		return nil, nil, err
	}
	r.settle()
	if err := r.check(); err != nil {
		return nil, &Report{Format: format, Faults: r.faults, Filtered: r.filtered}, err
	}
	before := len(r.list)
	r.applyCounts()
	if len(r.list) == 0 {
		return nil, &Report{Format: format, Faults: r.faults, Filtered: before}, fmt.Errorf("%w: none of %d is left by the smallest counts", ErrNoEvents, before)
	}
	r.filtered += before - r.known()
	r.sort()
	d := r.dataset()
	rep := Describe(d)
	rep.Format, rep.Faults, rep.Filtered = format, r.faults, r.filtered
	return d, rep, nil
}

// interactionNames lists the names looked for in a folder, in order.
func interactionNames() []string {
	return []string{"interactions.csv", "interactions.parquet", "interactions.ndjson", "ratings.dat", "ratings.csv", "*.inter", "UserBehavior.csv", "user_log_format1.csv"}
}

// findFile returns path itself, or for a folder the first file in it with one
// of the names, compressed or not.
func findFile(path string, names []string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range names {
		for _, ext := range [...]string{"", ".gz", ".zst"} {
			found, err := filepath.Glob(filepath.Join(escapeGlob(path), name+ext))
			if err != nil {
				return "", err
			}
			if len(found) > 0 {
				return found[0], nil
			}
		}
	}
	return "", fmt.Errorf("folder %s has none of %s (plain, .gz or .zst): %w", path, strings.Join(names, ", "), fs.ErrNotExist)
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// maxWindow bounds the memory a zstd stream may ask for.
const maxWindow = 128 << 20

// decompress looks at the first bytes and undoes gzip or zstd. The caller
// closes what it gets.
func decompress(in io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(in, 64<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(b)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// read fills r from a file and says which format it had.
func (r *rows) read(in io.Reader) (Format, error) {
	if p, ok := in.(parquetSource); ok {
		if is, err := isParquet(p); err != nil {
			return "", err
		} else if is {
			return FormatParquet, r.readParquet(p)
		}
	}
	plain, err := decompress(in)
	if err != nil {
		return "", fmt.Errorf("open compressed: %w", err)
	}
	defer plain.Close() //nolint:errcheck // read only
	l := newLineReader(plain)
	format := r.opt.Format
	if format == FormatAuto {
		if format, err = l.detect(); err != nil {
			return "", err
		}
		if isShopLog(format) && r.opt.Columns != (Columns{}) {
			format = FormatCSV // whoever names columns means to read it by them
		}
	}
	switch format {
	case FormatNDJSON:
		return format, r.readNDJSON(l)
	case FormatTaobao:
		return format, r.readShopLog(l, taobaoLog())
	case FormatTmall:
		return format, r.readShopLog(l, tmallLog())
	case FormatParquet:
		return format, errors.New("not a Parquet file (it must not be compressed as a whole)")
	default:
		return format, r.readDelimited(l, format)
	}
}
