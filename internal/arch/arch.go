// Package arch holds the stairs: which room (package) may import which room,
// which one room is the door to which outside module, and which parts of the
// standard library are kept for a few rooms.
//
// The policy is the text in stairs.txt. [Parse] reads it and refuses a table
// that contradicts itself; [Rules.Check] parses every Go file of a tree, build
// tags or not, generated or not, and returns each import the table does not
// allow. Nothing is built and no tool is called, so the check sees files that
// an ordinary build leaves out.
package arch

import (
	"cmp"
	_ "embed"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Stairs is the policy of this project, in the form [Parse] reads.
//
//go:embed stairs.txt
var Stairs string

// Violation is one thing in a tree that the table does not allow.
type Violation struct {
	File   string // slash-separated path in the tree, or a folder's
	Line   int    // 0 when it is not about one line
	Import string // the import path, "" when it is not about an import
	Reason string // what rule was broken
}

// String returns "file:line: import "path": reason".
func (v Violation) String() string {
	where := v.File
	if v.Line > 0 {
		where += ":" + strconv.Itoa(v.Line)
	}
	if v.Import == "" {
		return where + ": " + v.Reason
	}
	return fmt.Sprintf("%s: import %q: %s", where, v.Import, v.Reason)
}

// badNames are package names that say nothing about what is inside.
var badNames = [...]string{"util", "utils", "common", "helper", "helpers", "models", "misc", "base", "shared"}

// Check parses every .go file in fsys, the tree of the named module, and
// returns what breaks the rules, sorted by file and line. Folders named
// testdata and hidden folders are not part of the tree. The error is for a
// tree that cannot be read or a file that is not Go.
func (r *Rules) Check(fsys fs.FS, module string) ([]Violation, error) {
	c := checker{rules: r, fsys: fsys, module: module, seen: map[string]bool{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enterDir(name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		return c.file(name)
	})
	if err != nil {
		return nil, fmt.Errorf("check imports of module %s: %w", module, err)
	}
	slices.SortFunc(c.found, func(a, b Violation) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Import, b.Import))
	})
	return c.found, nil
}

// Stale returns the rooms of the table that hold no Go file in fsys: a line
// that outlives its room would let a later one in unseen.
func (r *Rules) Stale(fsys fs.FS) ([]string, error) {
	var stale []string
	for _, room := range r.rooms {
		files, err := fs.Glob(fsys, room.dir+"/*.go")
		if err != nil {
			return nil, fmt.Errorf("list room %s: %w", room.dir, err)
		}
		if len(files) == 0 {
			stale = append(stale, room.dir)
		}
	}
	return stale, nil
}

func enterDir(name string) error {
	base := path.Base(name)
	if base == "testdata" || (name != "." && strings.HasPrefix(base, ".")) {
		return fs.SkipDir
	}
	return nil
}

// checker walks one tree and collects what it finds.
type checker struct {
	rules  *Rules
	fsys   fs.FS
	module string
	seen   map[string]bool // folders that hold Go files
	found  []Violation
}

func (c *checker) add(v Violation) { c.found = append(c.found, v) }

// file checks one Go file: its room, its package name, its imports.
func (c *checker) file(name string) error {
	src, err := fs.ReadFile(c.fsys, name)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.ImportsOnly)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	first := !c.seen[dir]
	c.seen[dir] = true
	if slices.Contains(badNames[:], f.Name.Name) {
		c.add(Violation{File: name, Line: fset.Position(f.Name.Pos()).Line, Reason: "a package is named by what it holds, not " + strconv.Quote(f.Name.Name)})
	}
	room := c.rules.byDir[dir]
	if room == nil {
		if first {
			c.add(Violation{File: dir, Reason: "unknown room: the table has no line for this folder"})
		}
		return nil
	}
	test := strings.HasSuffix(name, "_test.go")
	for _, spec := range f.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		if reason := c.judge(room, imp, test); reason != "" {
			c.add(Violation{File: name, Line: fset.Position(spec.Pos()).Line, Import: imp, Reason: reason})
		}
	}
	return nil
}

// judge returns why a file of the room may not import imp, "" when it may.
func (c *checker) judge(room *room, imp string, test bool) string {
	switch {
	case imp == c.module || strings.HasPrefix(imp, c.module+"/"):
		return c.judgeOurs(room, strings.TrimPrefix(strings.TrimPrefix(imp, c.module), "/"), test)
	case !strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
		return c.judgeStandard(room, imp, test)
	case within(imp, room.doors), test && within(imp, c.rules.tests):
		return ""
	}
	if keepers := c.rules.doorsTo(imp); len(keepers) > 0 {
		return fmt.Sprintf("%s is no door to this module; %s is", room.dir, strings.Join(keepers, ", "))
	}
	return "no room is a door to this module"
}

func (c *checker) judgeOurs(from *room, dir string, test bool) string {
	if dir == from.dir {
		if test { // package x_test imports x
			return ""
		}
		return "a room does not import itself"
	}
	to := c.rules.byDir[dir]
	switch {
	case to == nil:
		return "unknown room: the table has no line for " + strconv.Quote(dir)
	case to.order > from.order && !(test && to.suite):
		return fmt.Sprintf("upstairs: from %s (floor %d) to %s (floor %d)", from.dir, from.floor, to.dir, to.floor)
	case test, from.all && !to.suite, slices.Contains(from.ours, to):
		return ""
	}
	return fmt.Sprintf("the line of %s does not name %s", from.dir, to.dir)
}

func (c *checker) judgeStandard(room *room, imp string, test bool) string {
	keepers, kept := c.rules.reserved[imp]
	if !kept || slices.Contains(keepers.rooms, room) || (imp == "testing" && room.suite) {
		return ""
	}
	if test && imp != "C" {
		return ""
	}
	return "reserved: " + keepers.why
}

// within reports whether import path imp lies in one of the modules.
func within(imp string, modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool {
		return imp == m || strings.HasPrefix(imp, m+"/")
	})
}
