package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// A setting is one leaf of a Config under its three names.
type setting struct {
	key    string // in YAML: listen.data
	env    string // RECSVC_LISTEN_DATA
	flag   string // listen-data
	secret bool
	value  reflect.Value
}

// settingsOf lists the leaves of a config in the order they are declared.
func settingsOf(c *Config) []setting {
	return leaves(nil, reflect.ValueOf(c).Elem(), nil)
}

func leaves(to []setting, v reflect.Value, path []string) []setting {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("name")
		if name == "" {
			name = snake(field.Name)
		}
		at := append(path[:len(path):len(path)], name)
		if _, branch := field.Tag.Lookup("embed"); branch {
			to = leaves(to, v.Field(i), at)
			continue
		}
		_, secret := field.Tag.Lookup("secret")
		to = append(to, setting{
			key:    strings.Join(at, "."),
			env:    "RECSVC_" + strings.ToUpper(strings.Join(at, "_")),
			flag:   strings.ReplaceAll(strings.Join(at, "-"), "_", "-"),
			secret: secret,
			value:  v.Field(i),
		})
	}
	return to
}

// snake writes a Go name as YAML has it: MaxBatch is max_batch.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// format writes a value as it would stand in the file.
func (s setting) format() string {
	if list, ok := s.value.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(s.value.Interface())
}

// check says what is wrong with the text of a setting.
func (s setting) check(text string) error {
	switch s.value.Interface().(type) {
	case string, []string:
		return nil
	case time.Duration:
		if _, err := time.ParseDuration(text); err != nil {
			return fmt.Errorf("%q is not a duration such as 100ms or 2h", text)
		}
		return nil
	case slog.Level:
		if err := new(slog.Level).UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("%q is not DEBUG, INFO, WARN or ERROR", text)
		}
		return nil
	}
	var err error
	switch s.value.Kind() {
	case reflect.Int, reflect.Int64:
		if _, err = strconv.ParseInt(text, 10, 64); err == nil {
			return nil
		}
		return fmt.Errorf("%q is not a whole number", text)
	case reflect.Float64:
		if _, err = strconv.ParseFloat(text, 64); err == nil {
			return nil
		}
		return fmt.Errorf("%q is not a number", text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is not true or false", text)
		}
	}
	return nil
}

// number reads a setting that has a size.
func number(v reflect.Value) (float64, bool) {
	if _, level := v.Interface().(slog.Level); level {
		return 0, false
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return float64(v.Int()), true
	case reflect.Float64:
		return v.Float(), true
	}
	return 0, false
}

// layer is where a value was found.
type layer struct{ text, origin string }

// layers is what the file and the environment say, by flag name. It is kong's
// resolver, so flags win over it and defaults lose.
type layers map[string]layer

// Validate implements kong.Resolver.
func (layers) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (l layers) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if v, ok := l[flag.Name]; ok {
		return v.text, nil
	}
	return nil, nil
}

// readLayers reads the file, if one is named, and lays the environment over it.
// It reports every fault of both.
func readLayers(file string, environ []string) (layers, error) {
	l, faults := layers{}, []error(nil)
	settings := settingsOf(&Config{})
	if file != "" {
		faults = append(faults, l.readFile(file, settings)...)
	}
	env := map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	for _, s := range settings {
		value, ok := env[s.env]
		if !ok {
			continue
		}
		if err := s.check(value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.env, err))
			continue
		}
		l[s.flag] = layer{value, "environment " + s.env}
	}
	return l, errors.Join(faults...)
}

func (l layers) readFile(file string, settings []setting) []error {
	data, err := os.ReadFile(file)
	if err != nil {
		return []error{fmt.Errorf("read configuration: %w", err)}
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return []error{fmt.Errorf("read configuration %s: %w", file, err)}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return []error{fmt.Errorf("read configuration %s: there must be one document", file)}
	}
	r := fileReader{file: file, known: map[string]setting{}, branches: map[string]bool{}, into: l}
	for _, s := range settings {
		r.known[s.key] = s
		if branch, _, ok := strings.Cut(s.key, "."); ok {
			r.branches[branch] = true
		}
	}
	r.mapping(doc.Content[0], "")
	return r.faults
}

// fileReader walks a YAML document.
type fileReader struct {
	file     string
	known    map[string]setting
	branches map[string]bool
	into     layers
	faults   []error
}

func (r *fileReader) fault(n *yaml.Node, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s:%d: %s", r.file, n.Line, fmt.Sprintf(format, args...)))
}

func (r *fileReader) mapping(n *yaml.Node, prefix string) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s must hold keys and values", cmp.Or(strings.TrimSuffix(prefix, "."), "the document"))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := prefix + name.Value
		s, known := r.known[key]
		switch {
		case seen[key]:
			r.fault(name, "%s is given twice", key)
		case r.branches[key]:
			r.mapping(value, key+".")
		case !known:
			r.fault(name, "there is no setting %s", key)
		default:
			r.leaf(value, s)
		}
		seen[key] = true
	}
}

func (r *fileReader) leaf(n *yaml.Node, s setting) {
	text := n.Value
	_, list := s.value.Interface().([]string)
	switch {
	case n.Kind == yaml.SequenceNode && list:
		parts := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				r.fault(item, "%s must be a list of plain values", s.key)
				return
			}
			parts[i] = item.Value
		}
		text = strings.Join(parts, ",")
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		r.fault(n, "%s must be a plain value", s.key)
		return
	}
	if err := s.check(text); err != nil {
		r.fault(n, "%s: %v", s.key, err)
		return
	}
	r.into[s.flag] = layer{text, fmt.Sprintf("file %s:%d", r.file, n.Line)}
}
