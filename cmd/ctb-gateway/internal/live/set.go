package live

import (
	"context"
	"maps"
	"slices"
)

// Set is what one configuration reads from files. The zero Set is empty.
type Set struct{ entries map[string]entry }

type entry struct {
	what  string
	files bool // it is read from some
	value interface {
		Refresh(context.Context) (changed bool, err error)
	}
}

// Take puts a value into the set: the one that before has for the same spec, as it is, or one that is read
// now. So what was fetched for one configuration is at hand for the next. Of
// one spec a set has one value. What is the kind of the value: a spec of another kind is another.
func Take[T any](s, before *Set, what, spec string, files []string, load func() (T, error)) (*Value[T], error) {
	name := what + "\x00" + spec
	for _, known := range []*Set{s, before} {
		if known == nil {
			continue
		}
		if v, ok := known.entries[name].value.(*Value[T]); ok {
			v.loadBy(load) // an error is to have the place in the newest configuration
			s.put(name, entry{what, len(v.files) > 0, v})
			return v, nil
		}
	}
	if before != nil && len(before.entries) > 0 { // something runs already
		if err := regular(files); err != nil {
			return nil, err
		}
	}
	v, err := Open(files, load)
	if err == nil {
		s.put(name, entry{what, len(v.files) > 0, v})
	}
	return v, err
}

func (s *Set) put(name string, e entry) {
	if s.entries == nil {
		s.entries = map[string]entry{}
	}
	s.entries[name] = e
}

// Refresh reads again what has changed; each value for itself, so that a file
// that is not good holds up no other. It calls told for each that was read or could not be.
func (s *Set) Refresh(ctx context.Context, told func(what string, err error)) {
	for _, name := range slices.Sorted(maps.Keys(s.entries)) {
		e := s.entries[name]
		if changed, err := e.value.Refresh(ctx); changed || err != nil {
			told(e.what, err)
		}
	}
}

// Kinds are the kinds of values in the set that are read from files, in order.
func (s *Set) Kinds() []string {
	var kinds []string
	for _, e := range s.entries {
		if e.files {
			kinds = append(kinds, e.what)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
