package features

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"seqrec/internal/event"
)

// shopLog reads one of the two public shop logs that work on long histories is
// judged by. Both name the category of each row's item, which becomes
// Dataset.Categories, and the kind of each event. Unless ReadOptions.Kinds asks
// for some, only what was looked at is kept, as the papers do, and then without
// its kind, since all are of one.
type shopLog struct {
	format                     Format
	columns                    int
	user, item, category, kind int // places of the fields
	at                         int // place of the time
	looked                     string
	kinds                      map[string]string          // what the log writes for each kind
	millis                     func(string) (int64, bool) // Unix ms of a time as the log writes it
}

// taobaoLog is UserBehavior.csv of Taobao (Tianchi data set 649): no header,
// user,item,category,behaviour,time with Unix seconds.
func taobaoLog() shopLog {
	return shopLog{
		format: FormatTaobao, columns: 5, user: 0, item: 1, category: 2, kind: 3, at: 4, looked: "pv",
		kinds: map[string]string{"pv": "pv", "buy": "buy", "cart": "cart", "fav": "fav"},
		millis: func(s string) (int64, bool) {
			t, err := strconv.ParseInt(s, 10, 64)
			return t * 1000, err == nil && t >= 0 && t <= event.MaxTime/1000
		},
	}
}

// tmallYear is when the Tmall log, whose times are days without a year, was
// written: it ends with the sale of 11 November 2014.
const tmallYear = 2014

// tmallLog is user_log_format1.csv of the Tmall log (IJCAI 2015, Tianchi data
// set 42): a header, and days as MMDD.
func tmallLog() shopLog {
	return shopLog{
		format: FormatTmall, columns: 7, user: 0, item: 1, category: 2, at: 5, kind: 6, looked: "click",
		kinds: map[string]string{"0": "click", "1": "cart", "2": "buy", "3": "fav"},
		millis: func(s string) (int64, bool) {
			n, err := strconv.Atoi(s)
			day := time.Date(tmallYear, time.Month(n/100), n%100, 0, 0, 0, 0, time.UTC)
			return day.UnixMilli(), err == nil && n > 0 && day.Month() == time.Month(n/100) && day.Year() == tmallYear
		},
	}
}

// tmallHeader is the first line of the Tmall log.
const tmallHeader = "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type"

func isShopLog(f Format) bool { return f == FormatTaobao || f == FormatTmall }

// detectShopLog judges by the first line. It claims only what cannot well be
// something else: the whole header, or five fields with a known behaviour among
// whole numbers.
func detectShopLog(first string) (Format, bool) {
	if strings.TrimSpace(first) == tmallHeader {
		return FormatTmall, true
	}
	f := strings.Split(first, ",")
	log := taobaoLog()
	if len(f) != log.columns || log.kinds[f[log.kind]] == "" {
		return "", false
	}
	for i, text := range f {
		if _, err := strconv.ParseUint(text, 10, 64); i != log.kind && err != nil {
			return "", false
		}
	}
	return FormatTaobao, true
}

// readShopLog reads a log to its end, row by row.
func (r *rows) readShopLog(l *lineReader, log shopLog) error {
	if r.opt.Columns != (Columns{}) {
		return fmt.Errorf("columns are named, but format %s has fixed ones", log.format)
	}
	if r.opt.MinRating != 0 {
		return errors.New("a smallest rating is asked for but there is no rating column")
	}
	for _, k := range r.opt.Kinds {
		if !log.has(k) {
			return fmt.Errorf("kind %q is asked for, which format %s does not have", k, log.format)
		}
	}
	if log.format == FormatTmall {
		if first, _, err := l.next(); err != nil || strings.TrimSpace(string(first)) != tmallHeader {
			return fmt.Errorf("the first line is not %s: %.200q", tmallHeader, first)
		}
	}
	return r.readRows(l, layout{sep: ",", columns: log.columns}, func(line int, fields []string) {
		if fault := r.takeShopRow(line, log, fields); fault != nil {
			r.faults.add(line, fault)
		}
	})
}

func (log shopLog) has(kind string) bool {
	for _, k := range log.kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// takeShopRow takes one row of a log, or leaves it out, or says what is wrong.
func (r *rows) takeShopRow(line int, log shopLog, fields []string) *rowFault {
	in := raw{user: fields[log.user], item: fields[log.item], kind: log.kinds[fields[log.kind]]}
	if in.kind == "" {
		return faultf("kind", "kind %.40q is not of format %s", fields[log.kind], log.format)
	}
	at, ok := log.millis(fields[log.at])
	if !ok {
		return faultf("time", "time %.40q is not of format %s", fields[log.at], log.format)
	}
	category := fields[log.category]
	if category != "" {
		if why := event.CheckID(category); why != "" {
			return faultf("categories", "category %s", why)
		}
	}
	if len(r.opt.Kinds) == 0 {
		if in.kind != log.looked {
			r.filtered++
			return nil
		}
		in.kind = ""
	}
	before := len(r.list)
	fault := r.take(line, in, row{time: float64(at), dated: true})
	if fault == nil && len(r.list) > before && r.list[before].item >= 0 {
		r.categorize(r.list[before].item, category)
	}
	return fault
}

// categorize notes the category of an item; what it was first seen in stays.
func (r *rows) categorize(item int32, category string) {
	if r.categories == nil {
		r.categories = NewVocab("")
	}
	for int(item) >= len(r.category) {
		r.category = append(r.category, 0)
	}
	if r.category[item] == 0 && category != "" {
		r.category[item] = intern(r.categories, category)
	}
}

// Catalogue gives the items as far as the log itself knows them: each with its
// category, in the order of their numbers. It is nil where the log names none.
func (d *Dataset) Catalogue() []Item {
	if d.Categories.Of == nil {
		return nil
	}
	items := make([]Item, len(d.Categories.Of))
	names := slices.Clone(d.Categories.Names) // so that items of one category share its list
	for i, code := range d.Categories.Of {
		items[i].ID = d.Vocab.ID(int32(i))
		if code > 0 {
			items[i].Categories = names[code : code+1 : code+1]
		}
	}
	return items
}

// categoriesOf gives the categories of items by their new numbers; number holds
// them, plus one, by those of r.
func (r *rows) categoriesOf(number []int32, items int) Codes {
	if r.categories == nil {
		return Codes{}
	}
	of := make([]int32, items)
	for i, c := range r.category {
		if n := number[i]; n > 0 {
			of[n-1] = c
		}
	}
	// Numbered anew, in the order that the items left need them.
	kept, names := make([]int32, r.categories.Len()), []string{""}
	for i, c := range of {
		if c > 0 && kept[c] == 0 {
			kept[c] = int32(len(names))
			names = append(names, r.categories.ID(c))
		}
		of[i] = kept[c]
	}
	return Codes{Of: of, Names: names}
}
