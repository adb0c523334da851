package attest

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

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

func uintField[T uint8 | uint16 | uint32](v *T) field {
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
