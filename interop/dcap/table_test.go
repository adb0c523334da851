package dcap_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// The tables in ../README.md are read, so that what is written there is what is tested.

// section returns what is below a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(readme), "### "+heading+"\n")
	if !found {
		t.Fatalf("../README.md has no section %q", heading)
	}
	below, _, _ = strings.Cut(below, "\n#")
	return below
}

// cells returns the rows of the table below a heading, without its first two lines.
func cells(t *testing.T, heading string, columns int) [][]string {
	t.Helper()
	var rows [][]string
	for line := range strings.Lines(section(t, heading)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		if len(row) != columns || slices.Contains(row[:columns-1], "") {
			t.Fatalf("../README.md, %q: want %d cells of which the last alone may be empty: %s", heading, columns, line)
		}
		rows = append(rows, row)
	}
	if len(rows) < 3 {
		t.Fatalf("../README.md: the table %q is empty", heading)
	}
	return rows[2:]
}

// known tells who knows a format, from the table "Who is asked about what".
type known map[[2]string]bool

func readKnown(t *testing.T) known {
	t.Helper()
	k := known{}
	for _, row := range cells(t, "Who is asked about what", 5) {
		name, votes := quotedIn(row[0])[0], 0
		for i, who := range []string{"oasis-core", "dcap-qvl", "go-tdx-guest"} {
			switch row[i+1] {
			case "yes":
				k[[2]string{who, name}] = true
				votes++
			case "no":
				k[[2]string{who, name}] = false
			default:
				t.Errorf("../README.md: %s, %s: got %q, want yes or no", name, who, row[i+1])
			}
		}
		if votes < 2 && row[4] == "" {
			t.Errorf("../README.md: %s is known by fewer than two, and it does not say why", name)
		}
		k[[2]string{ours, name}] = true
	}
	return k
}

// asked returns the evidence in the formats that an implementation knows.
func (k known) asked(who string, all []evidence) []evidence {
	return slices.DeleteFunc(slices.Clone(all), func(e evidence) bool { return !k[[2]string{who, e.format}] })
}

// disagreement is one row of the table "Explained disagreements".
type disagreement struct {
	line    string
	who     string
	formats []string         // empty: all that it knows
	about   []*regexp.Regexp // names of evidence
	says    string
}

// theStatusOf resolves the words for a status that depends on the evidence.
var theStatusOf = map[string]func(tee.TCB) tee.Status{
	"the module's status": func(t tee.TCB) tee.Status { return t.Module },
}

func readDisagreements(t *testing.T) []*disagreement {
	t.Helper()
	var all []*disagreement
	for _, row := range cells(t, "Explained disagreements", 6) {
		d := &disagreement{line: row[0] + ": " + row[2], who: row[0], says: row[3]}
		if row[1] != "all" {
			d.formats = quotedIn(row[1])
		}
		for _, pattern := range quotedIn(row[2]) {
			d.about = append(d.about, compile(pattern))
		}
		if len(d.about) == 0 || row[5] == "" {
			t.Fatalf("../README.md: %s: names no evidence, or not what settles it", d.line)
		}
		all = append(all, d)
	}
	return all
}

var quoted = regexp.MustCompile("`([^`]+)`")

func quotedIn(cell string) (names []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		names = append(names, m[1])
	}
	return names
}

var alternatives = regexp.MustCompile(`\\\{(.*?)\\\}`)

// compile reads a pattern: * stands for any text, {a,b} for a or b.
func compile(pattern string) *regexp.Regexp {
	p := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
	p = alternatives.ReplaceAllStringFunc(p, func(s string) string {
		return "(?:" + strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(s, `\{`), `\}`), ",", "|") + ")"
	})
	return regexp.MustCompile("^" + p + "$")
}

func (d *disagreement) covers(who, format, name string) bool {
	return d.concerns(who, format) && slices.ContainsFunc(d.about, func(r *regexp.Regexp) bool { return r.MatchString(name) })
}

func (d *disagreement) concerns(who, format string) bool {
	return d.who == who && (d.formats == nil || slices.Contains(d.formats, format))
}

// answer is what the row says of a piece of evidence.
func (d *disagreement) answer(e evidence) string {
	if status, ok := theStatusOf[d.says]; ok {
		return string(status(e.want))
	}
	return d.says
}

// compare asks every implementation about all evidence in formats that it knows,
// and holds the answers against the right ones and the table of disagreements.
func compare(t *testing.T, all []evidence) {
	k, table := readKnown(t), readDisagreements(t)
	for _, o := range oracles {
		t.Run(o.name, func(t *testing.T) {
			mine := k.asked(o.name, all)
			if len(mine) == 0 {
				t.Skip("none of the evidence is in a format that it knows")
			}
			held := map[claim]bool{}
			for i, got := range o.ask(t, mine) {
				judge(t, o.name, mine[i], got, table, held)
			}
			for c, holds := range held {
				if !holds {
					t.Errorf("%s, %q: README.md explains what no longer is: %s", c.format, c.name, c.row.line)
				}
			}
		})
	}
}

// claim is what a row says of all evidence of one name.
type claim struct {
	row          *disagreement
	format, name string
}

// judge holds one answer against the right one, and marks what the table says of it.
func judge(t *testing.T, who string, e evidence, got verdict, table []*disagreement, held map[claim]bool) {
	t.Helper()
	says := got.differs(e)
	explained := false
	for _, row := range table {
		if !row.covers(who, e.format, e.name) {
			continue
		}
		holds := says != "" && says == row.answer(e)
		explained = explained || holds
		c := claim{row, e.format, e.name}
		held[c] = held[c] || holds
		if !holds && !e.sample {
			t.Errorf("%s, %q: says %q; README.md says that it would say %q", e.format, e.name, says, row.answer(e))
		}
	}
	if says != "" && !explained {
		t.Errorf("%s, %q: says %q: %+v, want genuine %t, %+v", e.format, e.name, says, got, e.genuine, e.want)
	}
}
