package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/gateway"
)

// How a route is entered.
const (
	openAccess      = "open"      // without a credential
	protectedAccess = "protected" // the default
)

// routes are first the paths of open, then the routes. Where there are open paths alone,
// everything else takes a good credential.
func (r *reader) routes(a *authorization) error {
	c := r.config
	for i, path := range a.Open {
		key := fmt.Sprintf("authorization.open[%d]", i)
		if err := checkPath(path, true); err != nil {
			return r.file.Fault(key, "%w", err)
		}
		if err := r.add(key, gateway.Route{Name: path, Path: path, Open: true}); err != nil {
			return err
		}
	}
	if r.file.Has("authorization.routes") && len(a.Routes) == 0 {
		return r.file.Fault("authorization.routes", "got an empty list, want routes, or not this key")
	}
	for i := range a.Routes {
		key := fmt.Sprintf("authorization.routes[%d]", i)
		made, err := r.route(key, &a.Routes[i])
		if err != nil {
			return err
		}
		if err := r.add(key, made); err != nil {
			return err
		}
	}
	if len(a.Open) > 0 && len(a.Routes) == 0 {
		c.Routes = append(c.Routes, gateway.Route{Name: "default", Path: "/*"})
	}
	return nil
}

// add wants a route that at least one request can reach.
func (r *reader) add(key string, made gateway.Route) error {
	if err := made.Validate(); err != nil {
		return r.file.Fault(key, "%w", err)
	}
	for i, before := range r.config.Routes {
		if before.Covers(made) {
			return r.file.Fault(key, "no request reaches it, for %s fits all of them before: put this one first, or remove it", nameOf(&r.config.Routes[i]))
		}
	}
	r.config.Routes = append(r.config.Routes, made)
	return nil
}

func nameOf(r *gateway.Route) string {
	if r.Name != "" && r.Name != r.Path {
		return fmt.Sprintf("%s (%s)", r.Path, r.Name)
	}
	return r.Path
}

func (r *reader) route(key string, given *route) (gateway.Route, error) {
	made := gateway.Route{Name: given.Name, Path: given.Path}
	if err := checkPath(given.Path, true); err != nil {
		return made, r.file.Fault(key+".path", "%w", err)
	}
	if made.Name == "" {
		made.Name = given.Path
	} else if !routeName.MatchString(made.Name) {
		return made, r.file.Fault(key+".name", "got %.80q, want up to 64 letters, digits and . _ - / * :", made.Name)
	}
	var err error
	if made.Methods, err = r.methods(key+".methods", given.Methods); err != nil {
		return made, err
	}
	short := given.Claims != nil || given.Scopes != nil || given.APIKeys != nil
	switch given.Access {
	case openAccess:
		if short || given.Rules != nil {
			return made, r.file.Fault(key+".access", "got open beside rules, which would have no effect: want one of the two")
		}
		made.Open = true
		return made, nil
	case "", protectedAccess:
	default:
		return made, r.file.Fault(key+".access", "got %.40q, want %s or %s", given.Access, openAccess, protectedAccess)
	}
	if short && given.Rules != nil {
		return made, r.file.Fault(key, "got rules beside claims, scopes or api_keys, which are short for one rule: want one of the two")
	}
	if short {
		only, err := r.rule(key, &rule{Claims: given.Claims, Scopes: given.Scopes, APIKeys: given.APIKeys})
		made.Rules = []gateway.Rule{only}
		return made, err
	}
	made.Rules, err = r.rules(key+".rules", given.Rules)
	return made, err
}

func (r *reader) methods(key string, given []string) ([]string, error) {
	if given != nil && len(given) == 0 {
		return nil, r.file.Fault(key, "got an empty list, want methods, or not this key for all")
	}
	for i, m := range given {
		at := fmt.Sprintf("%s[%d]", key, i)
		if !method.MatchString(m) {
			return nil, r.file.Fault(at, "got %.40q, want a method such as GET", m)
		}
		if slices.Index(given, m) < i {
			return nil, r.file.Fault(at, "%s stands twice", m)
		}
	}
	return given, nil
}

func (r *reader) rules(key string, given []rule) ([]gateway.Rule, error) {
	if given != nil && len(given) == 0 {
		return nil, r.file.Fault(key, "got an empty list, want rules, or not this key")
	}
	var made []gateway.Rule
	for i := range given {
		at := fmt.Sprintf("%s[%d]", key, i)
		if i > 0 && holdsForAll(&made[i-1]) {
			return nil, r.file.Fault(at, "it is never reached, for the rule before holds for everyone: put this one first, or remove it")
		}
		next, err := r.rule(at, &given[i])
		if err != nil {
			return nil, err
		}
		made = append(made, next)
	}
	return made, nil
}

func holdsForAll(r *gateway.Rule) bool { return len(r.Claims) == 0 && len(r.APIKeys) == 0 }

var (
	routeName = regexp.MustCompile(`^[A-Za-z0-9._/*:-]{1,64}$`)
	method    = regexp.MustCompile(`^[A-Z][A-Z-]{0,19}$`)
)

func (r *reader) rule(key string, given *rule) (gateway.Rule, error) {
	var made gateway.Rule
	switch {
	case given.Action == "allow", given.Action == "" && !r.file.Has(key+".action"):
	case given.Action == "deny":
		made.Deny = true
	default:
		return made, r.file.Fault(key+".action", "got %.40q, want allow or deny", given.Action)
	}
	if given.Action == "" && given.Claims == nil && given.Scopes == nil && given.APIKeys == nil {
		return made, r.file.Fault(key, "it says nothing, want action, claims, scopes or api_keys")
	}
	for _, l := range []struct {
		name  string
		given bool
		count int
	}{{"claims", given.Claims != nil, len(given.Claims)}, {"scopes", given.Scopes != nil, len(given.Scopes)}, {"api_keys", given.APIKeys != nil, len(given.APIKeys)}} {
		if l.given && l.count == 0 { // or the rule would hold for everyone
			return made, r.file.Fault(key+"."+l.name, "got an empty list, want at least one, or not this key")
		}
	}
	a := r.schema.Authorization
	if (given.Claims != nil || given.Scopes != nil) && a.JWT == nil {
		return made, r.file.Fault(key, "claims and scopes have no effect here: without jwt there are no tokens")
	}
	if given.APIKeys != nil && a.Whitelist == nil {
		return made, r.file.Fault(key+".api_keys", "has no effect here: without whitelist there are no API keys")
	}
	for i, name := range given.APIKeys {
		if name == "" || len(name) > 256 {
			return made, r.file.Fault(fmt.Sprintf("%s.api_keys[%d]", key, i), "got %d bytes, want a Name of the whitelist, or \"*\" for all", len(name))
		}
	}
	var err error
	made.Claims, err = r.requirements(key, given.Scopes, given.Claims)
	made.APIKeys = given.APIKeys
	if err == nil {
		if err = made.Validate(); err != nil {
			err = r.file.Fault(key, "%w", err)
		}
	}
	return made, err
}

// checkPath wants a path that stands for itself alone, whoever reads it: it is
// compared with the decoded path of a request.
func checkPath(path string, subtree bool) error {
	want := "want a path such as /reports"
	if subtree {
		want += ", or with /* at its end for all below as well"
	}
	if path == "" {
		return fmt.Errorf("missing; %s", want)
	}
	plain := path
	if subtree {
		plain = strings.TrimSuffix(path, "/*")
	}
	if plain == "" && path != "" {
		return nil // "/*"
	}
	switch {
	case !strings.HasPrefix(plain, "/"), strings.ContainsAny(plain, "*?#%;\\"), strings.ContainsFunc(plain, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return fmt.Errorf("got %.80q, %s; it may have no other *, and none of ?#%%;\\ in it", path, want)
	case strings.Contains(path, "//"):
		return fmt.Errorf("got %.80q, %s; it may have no empty step", path, want)
	}
	for step := range strings.SplitSeq(plain, "/") {
		if step == "." || step == ".." {
			return fmt.Errorf("got %.80q, %s; it may have no . or .. as a step", path, want)
		}
	}
	return nil
}
