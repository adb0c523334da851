package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// parsers are the names of functions that read what comes from outside.
var parsers = regexp.MustCompile(`^(Parse|Unmarshal|Import)`)

// fuzzedElsewhere are parsers that only put others together, or that a table exhausts.
var fuzzedElsewhere = map[string]string{
	"attest.ParseKeys":  "internal/jose's FuzzParseSet and attest's FuzzCertificate hold its two halves",
	"rules.ParseHexKey": "its length is fixed before encoding/hex reads it",
}

// TestEveryParserIsFuzzed wants, for every exported parser, a fuzz target in its package that calls it.
// `make fuzz` finds the targets by itself.
func TestEveryParserIsFuzzed(t *testing.T) {
	for dir, files := range sources(t) {
		wanted := map[string]bool{}
		fuzzed := map[string]bool{}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range f.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				switch {
				case !ok || fn.Recv != nil:
				case !strings.HasSuffix(file, "_test.go") && parsers.MatchString(fn.Name.Name):
					wanted[fn.Name.Name] = true
				case strings.HasPrefix(fn.Name.Name, "Fuzz"):
					ast.Inspect(fn, func(n ast.Node) bool {
						if name, ok := n.(*ast.Ident); ok {
							fuzzed[name.Name] = true
						}
						return true
					})
				}
			}
		}
		for name := range wanted {
			qualified := strings.ReplaceAll(dir, "/", ".") + "." + name
			if fuzzed[name] == (fuzzedElsewhere[qualified] != "") {
				t.Errorf("%s: got a fuzz target %v and a reason for none %q, want one of the two", qualified, fuzzed[name], fuzzedElsewhere[qualified])
			}
		}
	}
}
