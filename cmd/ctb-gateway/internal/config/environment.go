package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/confidential-token-broker/ctb/cmd/internal/configfile"
)

// The prefixes of variables: ours, and those of the notary server from alpha.11 on, and until alpha.10. Were
// the last not known, an authorization that such a variable switched on would be off unseen.
const (
	ownPrefix         = "CTB_GATEWAY_"
	notaryPrefix      = "NS_"
	earlyNotaryPrefix = "NOTARY_SERVER__"
)

// variable is one of the environment that sets a key.
type variable struct {
	name, value string
	path        []string // of the key
}

// variables are those of the environment that are meant for the gateway. Those
// of a mapping come before those of what is in it.
func variables(environ []string) []variable {
	var found []variable
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		for _, prefix := range []string{ownPrefix, notaryPrefix, earlyNotaryPrefix} {
			if n := len(prefix); len(name) >= n && strings.EqualFold(name[:n], prefix) { // the notary server reads them in any case
				found = append(found, variable{name, value, strings.Split(name[n:], "__")})
				break
			}
		}
	}
	slices.SortStableFunc(found, func(a, b variable) int {
		if len(a.path) != len(b.path) {
			return len(a.path) - len(b.path)
		}
		return strings.Compare(a.name, b.name)
	})
	return found
}

// override puts the variables in the place of what the file says, and returns which set which key.
func override(f *configfile.File, found []variable) ([]string, error) {
	var set []string
	by := map[string]string{} // the variable of each key
	for _, v := range found {
		value := v.value
		if last := v.path[len(v.path)-1]; strings.EqualFold(last, "claims") || strings.EqualFold(last, "deny") {
			value = fromCompact(value)
		}
		key, err := f.Set(new(schema), v.name, v.path, value)
		if err != nil {
			return nil, err
		}
		if other := by[key]; other != "" {
			return nil, fmt.Errorf("environment variables %s and %s: both set %s, want one of the two", other, v.name, key)
		}
		by[key] = v.name
		set = append(set, fmt.Sprintf("%s (%s)", v.name, key))
	}
	return set, nil
}

// fromCompact makes YAML of claims in the compact form: "tlsn1 tlsn2:is:cool" is two
// claims separated by spaces, of which the second has one of the two values. YAML stays as it is.
func fromCompact(value string) string {
	value = strings.TrimSpace(value)
	if value == "" || strings.HasPrefix(value, "[") || strings.HasPrefix(value, "-") || strings.HasPrefix(value, "{") {
		return value
	}
	type claim struct {
		Name   string   `json:"name"`
		Values []string `json:"values"`
	}
	var claims []claim
	for _, text := range strings.Fields(value) {
		parts := strings.Split(text, ":")
		claims = append(claims, claim{parts[0], parts[1:]})
	}
	made, err := json.Marshal(claims)
	if err != nil { // text that is not UTF-8: the reader says so
		return value
	}
	return string(made)
}
