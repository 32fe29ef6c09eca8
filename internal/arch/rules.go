package arch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rules is a parsed table. It is read-only after [Parse].
type Rules struct {
	rooms    []*room
	byDir    map[string]*room
	reserved map[string]reservation
	tests    []string // modules that only tests may import
}

// room is one line of the table.
type room struct {
	dir   string // folder from the top of the tree, slash-separated
	floor int
	order int     // position in the table, lowest first
	suite bool    // conformance suite: may import "testing"
	all   bool    // may import every room above its line
	ours  []*room // rooms it may import
	doors []string
}

// reservation keeps one package of the standard library for a few rooms.
type reservation struct {
	rooms []*room
	why   string
}

// Parse reads a table in the form that the head of stairs.txt explains. It
// returns an error naming the line for a room written twice, a room that names
// itself, a room below its own line (so a cycle cannot be written) or, not
// being a suite, a suite, floors out of order, and a reserve or tests line without a reason.
func Parse(text string) (*Rules, error) {
	r := &Rules{byDir: map[string]*room{}, reserved: map[string]reservation{}}
	floor := -1
	for i, line := range strings.Split(text, "\n") {
		body, why, _ := strings.Cut(line, "#")
		body, why = strings.TrimSpace(body), strings.TrimSpace(why)
		if body == "" {
			continue
		}
		if err := r.line(body, why, &floor); err != nil {
			return nil, fmt.Errorf("stairs line %d: %w", i+1, err)
		}
	}
	if len(r.rooms) == 0 {
		return nil, fmt.Errorf("stairs: no rooms")
	}
	return r, nil
}

func (r *Rules) line(body, why string, floor *int) error {
	word, rest, _ := strings.Cut(body, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "floor":
		return r.floorLine(rest, floor)
	case "reserve":
		return r.reserveLine(rest, why)
	case "tests":
		if rest == "" || strings.Contains(rest, " ") || why == "" {
			return fmt.Errorf("want: tests MODULE # reason")
		}
		r.tests = append(r.tests, rest)
		return nil
	}
	return r.roomLine(body, *floor)
}

func (r *Rules) floorLine(rest string, floor *int) error {
	number, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n != *floor+1 {
		return fmt.Errorf("floor %q: floors count up from 0 by one", number)
	}
	*floor = n
	return nil
}

// roomLine reads "name [suite] : rooms | doors".
func (r *Rules) roomLine(body string, floor int) error {
	if floor < 0 {
		return fmt.Errorf("a room before the first floor")
	}
	left, right, ok := strings.Cut(body, ":")
	name := strings.Fields(left)
	if !ok || len(name) == 0 || len(name) > 2 || (len(name) == 2 && name[1] != "suite") {
		return fmt.Errorf("want: room [suite] : rooms | doors")
	}
	ro := &room{dir: dirOf(name[0]), floor: floor, order: len(r.rooms), suite: len(name) == 2}
	if r.byDir[ro.dir] != nil {
		return fmt.Errorf("room %s is written twice", ro.dir)
	}
	rooms, doors, _ := strings.Cut(right, "|")
	ro.doors = strings.Fields(doors)
	for _, word := range strings.Fields(rooms) {
		if word == "*" {
			ro.all = true
			continue
		}
		to := r.byDir[dirOf(word)]
		if to == nil {
			return fmt.Errorf("room %s names %s, which is not written above it", ro.dir, dirOf(word))
		}
		if to.suite && !ro.suite {
			return fmt.Errorf("room %s names %s: a suite is for tests", ro.dir, to.dir)
		}
		ro.ours = append(ro.ours, to)
	}
	r.rooms = append(r.rooms, ro)
	r.byDir[ro.dir] = ro
	return nil
}

// reserveLine reads "package : rooms", the reason is the line's comment.
func (r *Rules) reserveLine(rest, why string) error {
	pkg, rooms, ok := strings.Cut(rest, ":")
	pkg = strings.TrimSpace(pkg)
	if !ok || pkg == "" || why == "" {
		return fmt.Errorf("want: reserve PACKAGE : rooms # reason")
	}
	if _, twice := r.reserved[pkg]; twice {
		return fmt.Errorf("package %s is reserved twice", pkg)
	}
	res := reservation{why: why}
	for _, word := range strings.Fields(rooms) {
		to := r.byDir[dirOf(word)]
		if to == nil {
			return fmt.Errorf("reserve %s: unknown room %s", pkg, dirOf(word))
		}
		res.rooms = append(res.rooms, to)
	}
	r.reserved[pkg] = res
	return nil
}

// doorsTo returns the folders of the rooms that may import imp.
func (r *Rules) doorsTo(imp string) []string {
	var dirs []string
	for _, room := range r.rooms {
		if within(imp, room.doors) {
			dirs = append(dirs, room.dir)
		}
	}
	slices.Sort(dirs)
	return dirs
}

// dirOf turns a name of the table into a folder from the top of the tree.
func dirOf(name string) string {
	if from, ok := strings.CutPrefix(name, "/"); ok {
		return from
	}
	return "internal/" + name
}
