package attest

import (
	"slices"
	"strings"
)

// environment is what a policy knows of one TEE. All that differs between
// them stands in the table [environments], and nowhere else is a TEE asked for by its name.
type environment struct {
	name  string // as Report.TEE and Build.TEE have it
	title string // as people say it
	crowd string // what would match a build without any identity
	// judged tells that its maker publishes how up to date each platform is: its status is then one of
	// [statuses], and the policy's tcb applies. The status of every other is NotJudged.
	judged bool

	measurements []measurement // that a build can name
	summary      string        // in place of their names in a message, where there are many
	keys         []string      // further keys of a build, of [buildKeys]
	identities   []identity    // a build names one of these whole; Pin puts the first into force
	guest        *guestRule    // nil: its host chooses nothing by which the environment could be copied

	// facts tells whether a report has all that those of this TEE have, nil if there is nothing beside measurements.
	facts func(r *Report) bool
	// compare refuses what differs from what the build names beside measurements, and defaults what every build
	// refuses that does not say otherwise; nil if there is nothing.
	compare, defaults func(b *Build, r *Report, key string) []Refusal
	// sound finds what is wrong with a build beyond the above, nil if there is nothing to find.
	sound func(b *Build, key string) error
	// remarks warns of what a build may say but a person should know, nil if there is nothing.
	remarks func(b *Build, warn func(key, format string, args ...any))
	// platform and build write what Pin knows of this TEE alone, nil if there is nothing.
	platform, build func(w *pinner)
}

// measurement is something that the hardware reports and a build may pin, whole.
type measurement struct {
	name string
	size int     // bytes
	pin  pinning // what Pin does with it
	says string  // what it is, for who reads a policy
}

// pinning is what Pin does with a measurement.
type pinning int

const (
	pinned      pinning = iota // also where it is zero, since who runs the environment could choose another value
	pinnedIfSet                // unless it is zero
	shown                      // as a comment
	shownIfSet                 // as a comment, unless it is zero
	elsewhere                  // as a part of another identity
)

// identity is a set of keys that tells one build, or one signer's builds, from all others.
type identity struct {
	keys    []string
	instead string // what it stands for in place of the first, for Pin
}

// guestRule is about attributes that the host chooses when it makes the environment, that no other measurement
// covers, and by which somebody else may have its memory.
type guestRule struct {
	key  string                  // the measurement that has them, which a build must name to accept such a guest
	open func(value []byte) bool // whether the memory may be had; of a value that is not there too
	by   string                  // by whom
	fix  string
}

// environmentOf returns what is known of a TEE, nil of one that nobody knows.
func environmentOf(name string) *environment {
	i := slices.IndexFunc(environments, func(e environment) bool { return e.name == name })
	if i < 0 {
		return nil
	}
	return &environments[i]
}

// environmentNames is "sgx, tdx, sev-snp or nitro".
func environmentNames() string {
	var names []string
	for _, e := range environments {
		names = append(names, e.name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Measurements names what a build of this TEE can pin, in the order of its documents; none of a TEE that is unknown.
func Measurements(name string) []string {
	env := environmentOf(name)
	if env == nil {
		return nil
	}
	var names []string
	for _, m := range env.measurements {
		names = append(names, m.name)
	}
	return names
}

func (e *environment) measurement(name string) *measurement {
	i := slices.IndexFunc(e.measurements, func(m measurement) bool { return m.name == name })
	if i < 0 {
		return nil
	}
	return &e.measurements[i]
}

// has tells whether a build of this TEE may have the key.
func (e *environment) has(name string) bool {
	return name == "tee" || name == "debug" || slices.Contains(e.keys, name) || e.measurement(name) != nil
}

// known lists the keys of a build for a message.
func (e *environment) known() string {
	names := append([]string{"tee", "debug"}, e.keys...)
	if e.summary != "" {
		names = append(names, e.summary)
	} else {
		names = append(names, Measurements(e.name)...)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// identityKeys is "mrenclave, or all of mrsigner, isvprodid and isvsvn".
func (e *environment) identityKeys() string {
	var list []string
	for _, i := range e.identities {
		text, last := i.keys[0], len(i.keys)-1
		if last > 0 {
			text = "all of " + strings.Join(i.keys[:last], ", ") + " and " + i.keys[last]
		}
		list = append(list, text)
	}
	return strings.Join(list, ", or ")
}

// misplaced is the fault of a key that a build of this TEE can't have. It says whose it is, since a key of
// another TEE would have no effect here, and whoever wrote it expects one.
func (e *environment) misplaced(key, name string) error {
	for i := range environments {
		if environments[i].has(name) {
			return faultf(key, "is of %s, and this build is of %s; remove it", environments[i].name, e.name)
		}
	}
	return faultf(key, "is not a key of a policy; known here are %s", e.known())
}

// complete tells whether a verifier has left nothing out of the report.
func (e *environment) complete(r *Report) bool { return e.facts == nil || e.facts(r) }

// zero tells whether a measurement says nothing: it is there, and all its bytes are zero.
func zero(value []byte) bool {
	return value != nil && !slices.ContainsFunc(value, func(b byte) bool { return b != 0 })
}
