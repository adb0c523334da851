package attest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a policy file. One of a few builds has a few hundred bytes.
const (
	maxPolicy       = 1 << 20 // bytes
	maxPolicyDepth  = 16      // brackets and dashes inside one another
	maxPolicyTokens = 20000   // some 800 builds; the parser's time grows with the square of a mapping's keys
)

// ParsePolicy reads a policy file, YAML or JSON, of at most 1 MiB. An unknown
// or repeated key is an error, and so are aliases, tags and a second document. Errors have
// line and column, the key, and what would be right.
func ParsePolicy(data []byte) (*Policy, error) {
	root, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	f := policyFile{at: make(map[string]*token.Position)}
	p, err := f.policy(root)
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		return nil, f.locate(err)
	}
	return p, nil
}

// parseDocument bounds the text, and its depth before anything descends into it.
func parseDocument(data []byte) (ast.Node, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("got a policy of %d bytes, want at most %d", len(data), maxPolicy)
	}
	tokens := lexer.Tokenize(string(data))
	if err := checkTokens(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		return nil, positioned(syntax.GetToken().Position, syntax.GetMessage())
	case err != nil:
		return nil, fmt.Errorf("not YAML: %w", err)
	case len(file.Docs) > 1:
		return nil, positioned(startOf(file.Docs[1], tokens).Position, "a second document; a policy file has one")
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		return nil, &keyError{"builds", "the file is empty; name a build, with its tee and mrenclave or mrtd"}
	}
	return file.Docs[0].Body, nil
}

// startOf returns the token that a document begins with. One without a body has no token of its own.
func startOf(doc *ast.DocumentNode, all token.Tokens) *token.Token {
	switch {
	case doc.Start != nil:
		return doc.Start
	case doc.Body != nil && doc.Body.GetToken() != nil:
		return doc.Body.GetToken()
	}
	return all[len(all)-1] // there are two documents, so there are tokens
}

// checkTokens refuses what a policy has no use for and a parser can be driven
// to exhaustion with: nesting, aliases, complex keys.
func checkTokens(tokens token.Tokens) error {
	depth, dashes := 0, 0
	for i, t := range tokens {
		if i == maxPolicyTokens {
			return positioned(t.Position, fmt.Sprintf("got %d keys, values and signs before here, and that is all that is read", i))
		}
		if t.Type == token.SequenceEntryType {
			dashes++
		} else {
			dashes = 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return positioned(t.Position, "anchors, aliases and merge keys are not read here; write the value out")
		case token.TagType, token.DirectiveType, token.MappingKeyType:
			return positioned(t.Position, fmt.Sprintf("%q is not read here; write plain keys and values", t.Value))
		}
		if depth+dashes > maxPolicyDepth || t.Position.IndentNum > 64*maxPolicyDepth {
			return positioned(t.Position, "nested too deeply")
		}
	}
	return nil
}

func positioned(p *token.Position, text string) error {
	return fmt.Errorf("line %d, column %d: %s", p.Line, p.Column, text)
}

// policyFile reads the nodes of one file, and remembers where its keys are.
type policyFile struct {
	at map[string]*token.Position
}

// locate puts line and column before a fault; of a key that the file lacks, those of the key above it.
func (f *policyFile) locate(err error) error {
	var fault *keyError
	if !errors.As(err, &fault) {
		return err
	}
	for key := fault.key; ; {
		if p := f.at[key]; p != nil {
			return fmt.Errorf("line %d, column %d: %w", p.Line, p.Column, err)
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return err
		}
		key = key[:i]
	}
}

// field reads the value of one key, whose full name is key.
type field func(key string, value ast.Node) error

func (f *policyFile) policy(root ast.Node) (*Policy, error) {
	p := new(Policy)
	return p, f.mapping("", root, map[string]field{
		"builds": func(key string, n ast.Node) error {
			return f.sequence(key, n, func(key string, n ast.Node) error {
				b, err := f.build(key, n)
				p.Builds = append(p.Builds, b)
				return err
			})
		},
		"tcb": func(key string, n ast.Node) error {
			return f.mapping(key, n, map[string]field{
				"accept": f.strings(func(s string) { p.TCB.Accept = append(p.TCB.Accept, Status(s)) }, func() { p.TCB.Accept = []Status{} }),
				"tolerate": func(key string, n ast.Node) error {
					p.TCB.Tolerate = []Toleration{}
					return f.sequence(key, n, func(key string, n ast.Node) error {
						t, err := f.toleration(key, n)
						p.TCB.Tolerate = append(p.TCB.Tolerate, t)
						return err
					})
				},
				"advisories":        f.strings(func(s string) { p.TCB.Advisories = append(p.TCB.Advisories, s) }, func() { p.TCB.Advisories = []string{} }),
				"evaluation_number": uintField(&p.TCB.EvaluationNumber),
			})
		},
		"issuer":         stringField(&p.Issuer),
		"rules":          f.strings(func(s string) { p.Rules = append(p.Rules, s) }, func() { p.Rules = []string{} }),
		"scheme":         stringField(&p.Scheme),
		"simulated_root": stringField(&p.SimulatedRoot),
	})
}

func (f *policyFile) build(key string, n ast.Node) (Build, error) {
	b := Build{Measurements: make(map[string][]byte)}
	fields := map[string]field{
		"tee":           stringField(&b.TEE),
		"isvprodid":     func(key string, n ast.Node) error { b.ISVProdID = new(uint16); return uintField(b.ISVProdID)(key, n) },
		"isvsvn":        func(key string, n ast.Node) error { b.ISVSVN = new(uint16); return uintField(b.ISVSVN)(key, n) },
		"debug":         boolField(&b.Debug),
		"sample_signer": boolField(&b.SampleSigner),
	}
	for _, m := range measurements {
		fields[m.name] = func(key string, n ast.Node) (err error) {
			b.Measurements[m.name], err = hexValue(key, n)
			return err
		}
	}
	err := f.mapping(key, n, fields)
	return b, err
}

func (f *policyFile) toleration(key string, n ast.Node) (t Toleration, err error) {
	err = f.mapping(key, n, map[string]field{
		"status":     stringField((*string)(&t.Status)),
		"until":      untilField(&t.Until),
		"advisories": f.strings(func(s string) { t.Advisories = append(t.Advisories, s) }, func() { t.Advisories = []string{} }),
	})
	return t, err
}

// mapping reads the pairs of a node in their order.
func (f *policyFile) mapping(parent string, n ast.Node, fields map[string]field) error {
	m, ok := n.(*ast.MappingNode)
	if !ok && parent == "" {
		return positioned(start(n), "got "+describe(n)+", want keys and values such as builds")
	}
	if !ok {
		return faultf(parent, "got %s, want keys and values", describe(n))
	}
	seen := make(map[string]bool, len(m.Values))
	for _, pair := range m.Values {
		name := pair.Key.GetToken().Value
		key := name
		if parent != "" {
			key = parent + "." + name
		}
		f.at[key] = pair.Key.GetToken().Position
		read, ok := fields[name]
		if !ok {
			return faultf(key, "is not a key of a policy; known here are %s", known(fields))
		}
		if seen[name] {
			return faultf(key, "is given twice; remove one")
		}
		seen[name] = true
		if err := read(key, pair.Value); err != nil {
			return err
		}
	}
	return nil
}

func known(fields map[string]field) string {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (f *policyFile) sequence(key string, n ast.Node, each field) error {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return faultf(key, "got %s, want a list", describe(n))
	}
	for i, item := range s.Values {
		itemKey := fmt.Sprintf("%s[%d]", key, i)
		f.at[itemKey] = start(item)
		if err := each(itemKey, item); err != nil {
			return err
		}
	}
	return nil
}

// strings reads a list of strings; begin is called first, so that an empty list is told from none.
func (f *policyFile) strings(add func(string), begin func()) field {
	return func(key string, n ast.Node) error {
		begin()
		return f.sequence(key, n, func(key string, n ast.Node) error {
			s, err := stringValue(key, n)
			add(s)
			return err
		})
	}
}

func stringField(s *string) field {
	return func(key string, n ast.Node) (err error) {
		*s, err = stringValue(key, n)
		if err == nil && *s == "" {
			return faultf(key, "is empty; give it a value or remove it")
		}
		return err
	}
}

func boolField(v *bool) field {
	return func(key string, n ast.Node) error {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return faultf(key, "got %s, want true or false", describe(n))
		}
		*v = b.Value
		return nil
	}
}

func uintField[T uint16 | uint32](v *T) field {
	return func(key string, n ast.Node) error {
		limit := uint64(^T(0))
		if i, ok := n.(*ast.IntegerNode); ok {
			if u, err := strconv.ParseUint(i.Token.Value, 10, 64); err == nil && u <= limit {
				*v = T(u)
				return nil
			}
		}
		return faultf(key, "got %s, want a number from 0 to %d", describe(n), limit)
	}
}

// untilField reads an instant, or a date, which lasts until it ends in UTC.
func untilField(v *time.Time) field {
	return func(key string, n ast.Node) error {
		text, ok := n.(*ast.StringNode)
		if !ok {
			return faultf(key, "got %s, want an instant or a day", describe(n))
		}
		if day, err := time.Parse(time.DateOnly, text.Value); err == nil {
			*v = day.AddDate(0, 0, 1).Add(-time.Nanosecond)
			return nil
		}
		at, err := time.Parse(time.RFC3339, text.Value)
		if err != nil {
			return faultf(key, "got %q, want a day such as 2027-01-31, which is tolerated until it ends in UTC, or an instant such as 2027-01-31T12:00:00Z", clip(text.Value))
		}
		*v = at.UTC()
		return nil
	}
}

func stringValue(key string, n ast.Node) (string, error) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return "", faultf(key, "got %s, want a string", describe(n))
	}
	return s.Value, nil
}

// hexValue reads hex digits. Without quotes a value that has only decimal
// digits, or looks like 12e34, is a number to YAML: its text counts.
func hexValue(key string, n ast.Node) ([]byte, error) {
	var text string
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.IntegerNode:
		text = n.Token.Value
	case *ast.FloatNode:
		text = n.Token.Value
	default:
		return nil, faultf(key, "got %s, want hex digits", describe(n))
	}
	value, err := hex.DecodeString(text)
	switch {
	case strings.HasPrefix(text, "0x"):
		return nil, faultf(key, "got %q, want hex digits without the 0x", clip(text))
	case text == "":
		return nil, faultf(key, "is empty; give it a value or remove it")
	case errors.Is(err, hex.ErrLength):
		return nil, faultf(key, "got %d hex digits, want an even number", len(text))
	case err != nil:
		return nil, faultf(key, "got %q, want hex digits", clip(text))
	}
	return value, nil
}

// start is where a node begins; the token of a mapping is its first colon.
func start(n ast.Node) *token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken().Position
	}
	return n.GetToken().Position
}

// describe names a value in a message.
func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.LiteralNode:
		return "a block of text"
	case ast.ScalarNode:
		return strconv.Quote(clip(n.GetToken().Value))
	}
	return "something else"
}

// clip shortens what is quoted back.
func clip(s string) string { return clipTo(s, 100) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
