package hostile

import (
	"fmt"
	"strings"
	"testing"
)

// A table is all that is tried of one kind of input.
type table[I any] struct {
	kind   string
	good   I
	faults []fault[I]
	doors  []door[I]
	secret func(I) []string // what no answer may repeat; nil: nothing in it is secret
}

// A fault is an input with one thing wrong.
type fault[I any] struct {
	name  string
	input I
	want  string // a part of the reason, at every door that tells reasons
	but   but    // doors that answer otherwise
}

// but says, by the name of a door, what it answers in place of what is usual.
// The empty string means that the door accepts the input, since its contract
// leaves this fault to others.
type but map[string]string

const accepts = ""

// A door is a way by which input comes in.
type door[I any] struct {
	name string
	want string // what is answered to every fault, at doors that keep the reason to themselves
	open func(t *testing.T, input I) answer
}

// answer is what is said at a door.
type answer struct {
	accepted bool
	text     string
}

func of(err error) answer {
	if err == nil {
		return answer{accepted: true}
	}
	return answer{text: err.Error()}
}

// kinds is what a table of any kind can do.
type kinds interface {
	name() string
	size() (faults, doors int)
	check(t *testing.T)
	run(t *testing.T)
}

func (k *table[I]) name() string              { return k.kind }
func (k *table[I]) size() (faults, doors int) { return len(k.faults), len(k.doors) }

// check makes sure that the table says what it means.
func (k *table[I]) check(t *testing.T) {
	doors, faults := map[string]bool{}, map[string]bool{}
	for _, d := range k.doors {
		if doors[d.name] {
			t.Errorf("%s: two doors %q", k.kind, d.name)
		}
		doors[d.name] = true
	}
	for _, f := range k.faults {
		if faults[f.name] {
			t.Errorf("%s: two cases %q", k.kind, f.name)
		}
		faults[f.name] = true
		for name := range f.but {
			if !doors[name] {
				t.Errorf("%s: %s: there is no door %q", k.kind, f.name, name)
			}
		}
		refusing := 0
		for _, d := range k.doors {
			if f.expects(d) != accepts {
				refusing++
			}
		}
		if refusing == 0 {
			t.Errorf("%s: %s: no door refuses it", k.kind, f.name)
		}
	}
}

func (f fault[I]) expects(d door[I]) string {
	if other, ok := f.but[d.name]; ok {
		return other
	}
	if d.want != "" {
		return d.want
	}
	return f.want
}

// run sends every case through every door, and a good input before and after.
func (k *table[I]) run(t *testing.T) {
	k.mustServe(t, "before")
	t.Run("refuses", func(t *testing.T) {
		for _, f := range k.faults {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				for _, d := range k.doors {
					k.judge(t, f, d, d.open(t, f.input))
				}
			})
		}
	})
	k.mustServe(t, "afterwards")
}

func (k *table[I]) judge(t *testing.T, f fault[I], d door[I], got answer) {
	want := f.expects(d)
	switch {
	case got.accepted != (want == accepts):
		t.Errorf("%s: accepted is %v, want %v\nit says: %s", d.name, got.accepted, want == accepts, clip(got.text))
	case !strings.Contains(got.text, want):
		t.Errorf("%s: it says: %s\nwant: %s", d.name, clip(got.text), want)
	case strings.Contains(got.text, "panic"):
		t.Errorf("%s: it panics: %s", d.name, got.text)
	}
	if k.secret == nil {
		return
	}
	for _, secret := range k.secret(f.input) {
		if strings.Contains(got.text, secret) {
			t.Errorf("%s: the answer repeats a secret: %s", d.name, clip(got.text))
		}
	}
}

func (k *table[I]) mustServe(t *testing.T, when string) {
	for _, d := range k.doors {
		if got := d.open(t, k.good); !got.accepted {
			t.Errorf("%s, %s the bad ones: a good input is refused: %s", d.name, when, clip(got.text))
		}
	}
}

func clip(s string) string {
	if len(s) > 1500 {
		return fmt.Sprintf("%s… (%d bytes)", s[:1500], len(s))
	}
	return s
}

// TestHostileInput is the whole matrix: every case of a kind goes through every
// door of its kind. The numbers are floors, so that no table shrinks unnoticed.
func TestHostileInput(t *testing.T) {
	w := newWorld(t)
	matrix := []struct {
		kinds
		cases, doors int
	}{
		{tokens(w), 70, 7},
		{keySets(w), 45, 8},
		{attestedKeySets(w), 16, 5},
		{keyServers(w), 18, 6},
		{certificates(w), 45, 9},
		{quotes(w), 40, 6},
		{collaterals(w), 45, 6},
		{ruleFiles(w), 35, 5},
		{policies(w), 40, 5},
		{exchangeForms(w), 35, 2},
		{originalBodies(w), 18, 2},
		{brokerRequests(w), 45, 2},
		{bearerRequests(w), 28, 3},
		{brokerConfigs(w), 32, 2},
		{gatewayConfigs(w), 35, 2},
	}
	for _, k := range matrix {
		k.check(t)
		if cases, doors := k.size(); cases < k.cases || doors < k.doors {
			t.Errorf("%s: got %d cases and %d doors, want %d and %d or more", k.name(), cases, doors, k.cases, k.doors)
		}
	}
	for _, k := range matrix {
		t.Run(k.name(), func(t *testing.T) {
			t.Parallel()
			k.run(t)
		})
	}
}
