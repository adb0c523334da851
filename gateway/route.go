package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/httptoken"
)

// Route says who may make certain requests. Of the routes of a gateway the
// first that fits a request counts.
type Route struct {
	Name string // for logs and metrics; empty means Path
	// Path is what is asked for, without percent-encoding: exact, or with "/*"
	// at its end also everything below. "/*" is everything. Case counts, and a path
	// that differs from it in case or in slashes at its end alone does not come to a later "/*": it is refused.
	Path    string
	Methods []string // none: all
	// Open lets everyone through, without a credential. Bodies and answers may then take as long as who
	// is let through likes: let the upstream bound what is large there.
	Open bool
	// Rules are tried in their order, and the first that holds decides; if none
	// does, the request is refused. Without any rule, every good credential is enough.
	Rules []Rule
}

// Rule is one rule of a route: it holds for a token that has all scopes and
// claims, or for an API key of one of the names. A rule that denies holds as
// well where a claim is of an unexpected type.
type Rule struct {
	Deny    bool              // who meets it is refused
	Claims  []ctb.Requirement // of a token
	APIKeys []string          // names in the whitelist; "*" is all. Without Claims and APIKeys a rule holds for everyone
}

// Names of routes that nobody configured.
const (
	everywhere    = "default"        // no routes are given
	nowhere       = "none"           // none fits, or the request is no good
	createSession = "session create" // the path that hands out ids
	useSession    = "session use"    // the path that an id opens
	preflight     = "preflight"      // of the Fetch standard
)

// Validate tells whether the route is well formed.
func (r Route) Validate() error {
	path := strings.TrimSuffix(r.Path, "/*")
	switch {
	case !strings.HasPrefix(r.Path, "/"):
		return fmt.Errorf("path: got %.200q, want one that begins with /", r.Path)
	case strings.Contains(path, "*"):
		return fmt.Errorf("path: got %.200q, want a * only at the end, after a /", r.Path)
	case strings.ContainsAny(path, "%?#"):
		return fmt.Errorf("path: got %.200q, want it decoded, and without a query", r.Path)
	case ambiguous(path) != "" || hasDotSegment(path):
		return fmt.Errorf("path: got %.200q, which no request can have: such paths are refused", r.Path)
	case r.Open && len(r.Rules) > 0:
		return errors.New("is open, so its rules would mean nothing")
	}
	for _, m := range r.Methods {
		if !httptoken.Valid(m) || m != strings.ToUpper(m) {
			return fmt.Errorf("methods: got %.40q, want a method in upper case", m)
		}
	}
	if i, err := firstFault(r.Rules); err != nil {
		return fmt.Errorf("rules[%d]: %w", i, err)
	}
	return nil
}

// Validate tells whether the rule is well formed.
func (r Rule) Validate() error {
	if i, err := firstFault(r.Claims); err != nil {
		return fmt.Errorf("claims[%d]: %w", i, err)
	}
	if slices.Contains(r.APIKeys, "") {
		return errors.New(`api keys: a name is empty; "*" is all names`)
	}
	return nil
}

// checkReach refuses a route that no request can come to: who wrote it relies on it.
func checkReach(routes []Route) error {
	for i, r := range routes {
		for j, before := range routes[:i] {
			if before.Covers(r) {
				return fmt.Errorf("routes[%d]: is never reached: routes[%d] (%s) comes first and fits all that it fits", i, j, before.Path)
			}
		}
	}
	return nil
}

// Covers tells whether every request that fits other fits r.
func (r Route) Covers(other Route) bool {
	if len(r.Methods) > 0 {
		if len(other.Methods) == 0 || slices.ContainsFunc(other.Methods, func(m string) bool { return !slices.Contains(r.Methods, m) }) {
			return false
		}
	}
	if r.Path == other.Path {
		return true
	}
	base, subtree := strings.CutSuffix(r.Path, "/*")
	return subtree && below(strings.TrimSuffix(other.Path, "/*"), base)
}

// route is a Route that is made ready to be matched.
type route struct {
	Route
	base    string // Path without "/*"
	subtree bool
}

func compileRoutes(list []Route) []route {
	routes := make([]route, len(list))
	for i, r := range list {
		if r.Name == "" {
			r.Name = r.Path
		}
		r.Methods, r.Rules = slices.Clone(r.Methods), slices.Clone(r.Rules)
		routes[i].Route = r
		routes[i].base, routes[i].subtree = strings.CutSuffix(r.Path, "/*")
	}
	return routes
}

// fits tells whether the route is for a request. The path is decoded.
func (r *route) fits(method, path string) bool {
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, method) {
		return false
	}
	if r.subtree {
		return below(path, r.base)
	}
	return path == r.base
}

// evades tells whether a path that fits the route, and none before it, would fit one
// of those to an upstream that minds neither case nor slashes, dots and spaces at a path's
// end. Where the route itself was written for the path there is no doubt, nor is there harm where the one
// before asks for no more than the route.
func (r *route) evades(before []route, method, path string) bool {
	if !r.subtree {
		return false
	}
	path = strings.TrimRight(path, "/. ")
	return slices.ContainsFunc(before, func(b route) bool {
		asksForNoMore := b.Open || len(b.Rules) == 0 && !r.Open
		return !asksForNoMore && b.base != r.base && b.resembles(method, path)
	})
}

// resembles tells whether a path without its end fits the route, but for the case.
func (r *route) resembles(method, path string) bool {
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, method) {
		return false
	}
	if r.subtree {
		path = firstSegments(path, strings.Count(r.base, "/"))
	}
	return strings.EqualFold(path, strings.TrimRight(r.base, "/"))
}

// firstSegments returns a path's first n segments.
func firstSegments(path string, n int) string {
	for i := range len(path) {
		if path[i] == '/' {
			if n == 0 {
				return path[:i]
			}
			n--
		}
	}
	return path
}

// below tells whether path is base, or in its subtree.
func below(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}
