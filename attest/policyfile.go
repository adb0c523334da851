package attest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/internal/saved"
)

// Bounds of a policy file. One of a few builds has a few hundred bytes.
const (
	maxPolicy       = 1 << 20 // bytes
	maxPolicyDepth  = 16      // brackets and dashes inside one another
	maxPolicyEmpty  = 200     // ends of empty lines in a row; the lexer's time grows with the square of those behind a block of text
	maxPolicyTokens = 20000   // some 650 builds of SEV-SNP; the parser's time grows with the square of a mapping's keys
)

// ParsePolicy reads a policy file, YAML or JSON, of at most 1 MiB. An unknown
// or repeated key is an error, and so are one of another TEE than the build's, aliases, tags and a second document. Errors have
// line and column, the key, and what would be right. The project's docs/policy.md has every key.
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
	if fault := saved.Fault(data); fault != "" {
		return nil, errors.New("line 1, column 1: " + fault)
	}
	if line := emptyLines(data); line > 0 {
		return nil, fmt.Errorf("line %d, column 1: too many empty lines follow one another", line)
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
		return nil, &keyError{"builds", "the file is empty; name a build, with its tee and mrenclave, mrtd, measurement or pcr0"}
	}
	return file.Docs[0].Body, nil
}

// emptyLines returns the line before which there are too many empty ones in a row, 0 if there is none.
func emptyLines(data []byte) int {
	line, run := 1, 0
	for _, c := range data {
		switch c {
		case '\n', '\r': // each of which ends a line to the lexer, and both together one
			if run++; c == '\n' {
				line++
			}
		case ' ', '\t':
		default:
			run = 0
		}
		if run > maxPolicyEmpty {
			return line
		}
	}
	return 0
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
	return p, f.mapping("", root, among(map[string]field{
		"builds": func(key string, n ast.Node) error {
			return f.sequence(key, n, func(key string, n ast.Node) error {
				b, err := f.build(key, n)
				p.Builds = append(p.Builds, b)
				return err
			})
		},
		"tcb": func(key string, n ast.Node) error {
			return f.mapping(key, n, among(map[string]field{
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
			}))
		},
		"issuer":         stringField(&p.Issuer),
		"rules":          f.strings(func(s string) { p.Rules = append(p.Rules, s) }, func() { p.Rules = []string{} }),
		"scheme":         stringField(&p.Scheme),
		"simulated_root": stringField(&p.SimulatedRoot),
	}))
}

// build reads the TEE first, wherever it stands, since the other keys depend on it.
func (f *policyFile) build(key string, n ast.Node) (b Build, err error) {
	b.Measurements = make(map[string][]byte)
	env, err := f.environment(key, n, &b.TEE)
	if err != nil {
		return b, err
	}
	err = f.mapping(key, n, func(key, name string) (field, error) {
		switch m := env.measurement(name); {
		case m != nil:
			return func(key string, n ast.Node) (err error) {
				b.Measurements[name], err = hexValue(key, n)
				return err
			}, nil
		case !env.has(name):
			return nil, env.misplaced(key, name)
		case name == "tee":
			return stringField(&b.TEE), nil
		case name == "debug":
			return boolField(&b.Debug), nil
		}
		i := slices.IndexFunc(buildKeys, func(k buildKey) bool { return k.name == name })
		return buildKeys[i].field(f, &b), nil
	})
	// Where a family of processors has an fmc, that none is given is told from 0.
	if at := key + ".min_tcb"; err == nil && slices.Contains(products, b.Product) && hasFMC(b.Product) && b.MinTCB != nil && f.at[at+".fmc"] == nil {
		return b, faultf(at+".fmc", "is missing; a %s has one, and ctb inspect shows it", b.Product)
	}
	return b, err
}

// environment finds the TEE that a build names.
func (f *policyFile) environment(key string, n ast.Node, name *string) (*environment, error) {
	if m, ok := n.(*ast.MappingNode); ok {
		for _, pair := range m.Values {
			if pair.Key.GetToken().Value != "tee" {
				continue
			}
			f.at[key+".tee"] = pair.Key.GetToken().Position
			if err := stringField(name)(key+".tee", pair.Value); err != nil {
				return nil, err
			}
			if env := environmentOf(*name); env != nil {
				return env, nil
			}
			return nil, faultf(key+".tee", "got %q, want %s", clip(*name), environmentNames())
		}
		return nil, faultf(key+".tee", "is missing; name %s", environmentNames())
	}
	return nil, faultf(key, "got %s, want keys and values", describe(n))
}

// minTCB reads the numbers of an AMD platform. All families have all but the fmc.
func (f *policyFile) minTCB(v **tee.AMDTCB) field {
	return func(key string, n ast.Node) error {
		t := new(tee.AMDTCB)
		*v = t
		fields := map[string]field{
			"fmc": uintField(&t.FMC), "bootloader": uintField(&t.Bootloader), "tee": uintField(&t.TEE),
			"snp": uintField(&t.SNP), "microcode": uintField(&t.Microcode),
		}
		if err := f.mapping(key, n, among(fields)); err != nil {
			return err
		}
		for _, c := range t.Components() {
			if f.at[key+"."+c.Name] == nil && c.Name != "fmc" {
				return faultf(key+"."+c.Name, "is missing; give the least that is accepted, 0 for any")
			}
		}
		return nil
	}
}

func (f *policyFile) toleration(key string, n ast.Node) (t Toleration, err error) {
	err = f.mapping(key, n, among(map[string]field{
		"status":     stringField((*string)(&t.Status)),
		"until":      untilField(&t.Until),
		"advisories": f.strings(func(s string) { t.Advisories = append(t.Advisories, s) }, func() { t.Advisories = []string{} }),
	}))
	return t, err
}

// lookup finds how to read a key, by its name in the mapping. An error says what is wrong with the key.
type lookup func(key, name string) (field, error)

// among finds the keys of a mapping that has the same ones always.
func among(fields map[string]field) lookup {
	return func(key, name string) (field, error) {
		if read, ok := fields[name]; ok {
			return read, nil
		}
		return nil, faultf(key, "is not a key of a policy; known here are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
	}
}

// mapping reads the pairs of a node in their order.
func (f *policyFile) mapping(parent string, n ast.Node, find lookup) error {
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
		read, err := find(key, name)
		if err != nil {
			return err
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
