package configfile

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/confidential-token-broker/ctb/internal/saved"
)

// node is a value of a configuration, with the place where it stands.
type node struct {
	kind    kind
	text    string  // of a scalar, without quotes
	value   any     // of a scalar: string, bool, int64, uint64 or float64
	items   []*node // of a list
	entries []entry // of a mapping
	at      place
	size    int // values in it, itself included, each as often as aliases repeat it
}

type kind string

// The kinds, as people know them who do not know Go.
const (
	null    kind = "nothing"
	text    kind = "text"
	boolean kind = "true or false"
	number  kind = "a number"
	list    kind = "a list"
	mapping kind = "keys and values"
)

func (k kind) scalar() bool { return k == text || k == boolean || k == number }

// entry is a key of a mapping, and its value.
type entry struct {
	key   string
	at    place
	value *node
}

// place is where something stands: in the file, or in a variable of the environment.
type place struct {
	line, column int
	variable     string
}

// in puts the place in front, as compilers do.
func (p place) in(path string, err error) error {
	switch {
	case p.variable != "":
		return fmt.Errorf("environment variable %s: %w", p.variable, err)
	case p.line != 0:
		return fmt.Errorf("%s:%d:%d: %w", path, p.line, p.column, err)
	case path != "":
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("environment: %w", err)
}

const (
	maxDepth = 64      // of lists and mappings in each other
	maxOpen  = 500     // brackets that are open at once, in quotes and comments as well
	maxSize  = 100_000 // values, with all repetitions by aliases
)

// fault is an error at a place, of which only the path is not known yet.
type fault struct {
	at  place
	err error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func faultAt(at place, format string, args ...any) error {
	return &fault{at, fmt.Errorf(format, args...)}
}

// parse reads one document. The error is a *fault.
func parse(yamlText []byte, variable string) (*node, error) {
	if wrong := saved.Fault(yamlText); wrong != "" {
		return nil, faultAt(place{variable: variable}, "%s", wrong)
	}
	if deep(yamlText) {
		return nil, faultAt(place{variable: variable}, "lists and mappings are more than %d deep", maxDepth)
	}
	file, err := parser.ParseBytes(yamlText, 0)
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			return nil, faultAt(at(e.GetToken(), variable), "%s", e.GetMessage())
		}
		return nil, faultAt(place{variable: variable}, "it is no YAML")
	}
	b := builder{variable: variable, anchors: map[string]*node{}}
	var root *node
	for _, doc := range file.Docs {
		if _, comment := doc.Body.(*ast.CommentGroupNode); doc.Body == nil || comment {
			continue
		}
		if root != nil {
			return nil, faultAt(place{variable: variable}, "it has more than one document, want one")
		}
		if root, err = b.build(doc.Body, 0); err != nil {
			return nil, err
		}
	}
	if root == nil {
		return nil, faultAt(place{variable: variable}, "the file is empty")
	}
	return root, nil
}

// deep tells of texts for which the parser would take long, since its time grows with the square
// of the depth. It is rough, and far above what people write.
func deep(yamlText []byte) bool {
	open, items := 0, 0 // "- - - x" is three lists in each other
	for i, c := range yamlText {
		switch {
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			open = max(0, open-1)
		case c == ' ' && i > 0 && yamlText[i-1] == '-' && (i == 1 || yamlText[i-2] == ' ' || yamlText[i-2] == '\n'):
			items++
		case c == '\n':
			items = 0
		}
		if open > maxOpen || items > maxDepth {
			return true
		}
	}
	return false
}

func at(t *token.Token, variable string) place {
	if variable != "" || t == nil || t.Position == nil {
		return place{variable: variable}
	}
	return place{line: t.Position.Line, column: t.Position.Column}
}

// builder makes nodes of the parser's. What an alias names is shared, not copied.
type builder struct {
	variable string
	anchors  map[string]*node
}

func (b *builder) build(n ast.Node, depth int) (*node, error) {
	if n == nil {
		return &node{kind: null, at: place{variable: b.variable}, size: 1}, nil
	}
	here := at(n.GetToken(), b.variable)
	if depth > maxDepth {
		return nil, faultAt(here, "lists and mappings are more than %d deep", maxDepth)
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(n.Values, n.IsFlowStyle, here, depth)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, n.IsFlowStyle, here, depth)
	case *ast.SequenceNode:
		return b.list(n, here, depth)
	case *ast.AnchorNode:
		v, err := b.build(n.Value, depth+1)
		if err == nil {
			b.anchors[n.Name.GetToken().Value] = v
		}
		return v, err
	case *ast.AliasNode:
		v, ok := b.anchors[n.Value.GetToken().Value]
		if !ok {
			return nil, faultAt(here, "no anchor of the name stands before this alias")
		}
		return v, nil
	case *ast.TagNode:
		return b.tagged(n, here, depth)
	}
	return scalar(n, here)
}

func scalar(n ast.Node, here place) (*node, error) {
	made := &node{at: here, size: 1}
	switch n := n.(type) {
	case *ast.NullNode:
		made.kind = null
	case *ast.BoolNode:
		made.kind, made.value, made.text = boolean, n.Value, n.Token.Value
	case *ast.IntegerNode:
		made.kind, made.value, made.text = number, n.Value, n.Token.Value
	case *ast.FloatNode:
		made.kind, made.value, made.text = number, n.Value, n.Token.Value
		if math.IsInf(n.Value, 0) || math.IsNaN(n.Value) {
			return nil, faultAt(here, "got a number without an end, want a finite one")
		}
	case *ast.StringNode:
		if losesTab(n.Token) {
			return nil, faultAt(here, errTab)
		}
		made.kind, made.value, made.text = text, n.Value, n.Value
	case *ast.LiteralNode:
		made.kind, made.value, made.text = text, n.Value.Value, n.Value.Value
	default:
		return nil, faultAt(here, "got %s, want text, a number, true, false, a list, or keys and values", n.Type())
	}
	return made, nil
}

const errTab = "a tab within text needs quotes"

// losesTab tells whether the parser has left a tab within plain text out.
func losesTab(t *token.Token) bool {
	return t.Type == token.StringType && strings.Contains(strings.TrimSpace(t.Origin), "\t") && !strings.Contains(t.Value, "\t")
}

// tagged reads "!!str 12" and the like: the tag may only say again what stands there, or that it is text.
func (b *builder) tagged(n *ast.TagNode, here place, depth int) (*node, error) {
	v, err := b.build(n.Value, depth+1)
	if err != nil {
		return nil, err
	}
	if n.Start.Value != "!!str" || !v.kind.scalar() {
		return nil, faultAt(here, "got the tag %.40q, want a value without a tag", n.Start.Value)
	}
	return &node{kind: text, value: v.text, text: v.text, at: v.at, size: 1}, nil
}

func (b *builder) list(n *ast.SequenceNode, here place, depth int) (*node, error) {
	made := &node{kind: list, at: here, size: 1}
	for _, item := range n.Values {
		v, err := b.build(item, depth+1)
		if err != nil {
			return nil, err
		}
		made.items = append(made.items, v)
		if err := made.grow(v); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// grow counts what a part adds, so that aliases of aliases end before they fill the memory.
func (n *node) grow(part *node) error {
	if n.size += part.size; n.size > maxSize {
		return faultAt(n.at, "aliases repeat too much: it has more than %d values", maxSize)
	}
	return nil
}

// mapping is where its first key stands: the token of a block mapping is its first colon.
func (b *builder) mapping(values []*ast.MappingValueNode, flow bool, here place, depth int) (*node, error) {
	made := &node{kind: mapping, at: here, size: 1}
	var merged []*node
	seen := map[string]bool{}
	for i, pair := range values {
		key := pair.Key.GetToken()
		keyAt := at(key, b.variable)
		if i == 0 && !flow {
			made.at = keyAt
		}
		v, err := b.build(pair.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if v.kind == null && v.at.line == 0 && v.at.variable == "" {
			v.at = keyAt
		}
		switch pair.Key.(type) {
		case *ast.MergeKeyNode:
			if v.kind != mapping {
				return nil, faultAt(keyAt, "got %s after <<, want an alias of keys and values", v.kind)
			}
			merged = append(merged, v)
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			if losesTab(key) {
				return nil, faultAt(keyAt, errTab)
			}
			if seen[key.Value] {
				return nil, faultAt(keyAt, "mapping key %.60q already defined", key.Value)
			}
			seen[key.Value] = true
			made.entries = append(made.entries, entry{key.Value, keyAt, v})
		default:
			return nil, faultAt(keyAt, "got a key that is not text")
		}
		if err := made.grow(v); err != nil {
			return nil, err
		}
	}
	for _, m := range merged { // what stands here counts before what is merged in
		for _, e := range m.entries {
			if !seen[e.key] {
				seen[e.key] = true
				made.entries = append(made.entries, e)
			}
		}
	}
	return made, nil
}

// plain is the value as Go has it: of a rule's values, say.
func (n *node) plain() any {
	switch n.kind {
	case list:
		all := make([]any, len(n.items))
		for i, item := range n.items {
			all[i] = item.plain()
		}
		return all
	case mapping:
		all := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			all[e.key] = e.value.plain()
		}
		return all
	}
	return n.value
}
