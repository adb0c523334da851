package dcap_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFormats: who is said not to know a format refuses the soundest quote in it,
// and the table of formats is about those that the simulated platforms make.
func TestFormats(t *testing.T) {
	k := readKnown(t)
	sound := map[string]evidence{}
	for _, v := range variants(t) {
		if _, have := sound[v.format]; !have && v.genuine {
			sound[v.format] = v
		}
	}
	for row := range k {
		if _, made := sound[row[1]]; !made {
			t.Errorf("README.md has the format %q, which no simulated platform makes", row[1])
		}
	}
	for _, o := range oracles {
		t.Run(o.name, func(t *testing.T) {
			var unknown []evidence
			for name, e := range sound {
				knows, listed := k[[2]string{o.name, name}]
				if !listed {
					t.Errorf("README.md does not tell whether it knows %s", name)
				}
				if !knows {
					unknown = append(unknown, e)
				}
			}
			if len(unknown) == 0 {
				return
			}
			for i, got := range o.ask(t, unknown) {
				if got.refused == "" { // not even for its status
					t.Errorf("knows %s, which README.md denies", unknown[i].format)
				}
			}
		})
	}
}

// TestOursAlone finds the faults that everybody who is asked accepts, but for us. They are in the README, since nobody shares our view of them.
func TestOursAlone(t *testing.T) {
	spoiled := slices.DeleteFunc(slices.Clone(variants(t)), func(e evidence) bool { return e.genuine })
	k := readKnown(t)
	asked, refused := map[string]bool{}, map[string]bool{}
	for _, o := range oracles {
		if o.name == ours {
			continue
		}
		mine := k.asked(o.name, spoiled)
		for i, got := range o.ask(t, mine) {
			asked[mine[i].name] = true
			refused[mine[i].name] = refused[mine[i].name] || got.refused != ""
		}
	}
	_, said, _ := strings.Cut(section(t, "Who is asked about what"), "refused by ours alone")
	var patterns []*regexp.Regexp
	for _, name := range quotedIn(said) {
		patterns = append(patterns, compile(name))
	}
	for name := range asked {
		listed := slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
		if alone := !refused[name]; alone != listed {
			t.Errorf("%q is refused by ours alone: %t; README.md says %t", name, alone, listed)
		}
	}
}

// TestEveryRowIsAsked: a row about evidence that no test asks about would never be found to be stale.
func TestEveryRowIsAsked(t *testing.T) {
	type name struct{ format, name string }
	var names []name
	for _, v := range variants(t) {
		names = append(names, name{v.format, v.name})
		for _, spoiled := range []string{flippedBit, flippedRoot, cutShort} {
			names = append(names, name{v.format, spoiled})
		}
	}
	for _, g := range genuineVectors {
		names = append(names, name{g.format, g.quote})
		for _, part := range collateralParts {
			names = append(names, name{g.format, flippedIn(part.name)})
		}
	}
	for _, place := range lookalikePlaces {
		names = append(names, name{"SGX v3", place.name})
	}
	k := readKnown(t)
	for _, row := range readDisagreements(t) {
		for _, pattern := range row.about {
			asked := slices.ContainsFunc(names, func(n name) bool {
				return k[[2]string{row.who, n.format}] && row.concerns(row.who, n.format) && pattern.MatchString(n.name)
			})
			if row.who == ours || !asked {
				t.Errorf("README.md explains what no test asks: %s, %s", row.who, pattern)
			}
		}
	}
}
