package main

import "errors"

// errEmpty refuses a flag whose value is empty. That is what an unset variable of a shell
// leaves: it must not turn off what the flag asks for, such as --policy "$POLICY".
var errEmpty = errors.New("the value is empty, as of an unset variable; give one, or leave the flag out")

// text is a flag's value: any text, which the help calls by its kind, such as FILE.
type text struct {
	to   *string
	kind string
}

func (t text) Type() string { return t.kind }

func (t text) Set(s string) error {
	if s == "" {
		return errEmpty
	}
	*t.to = s
	return nil
}

func (t text) String() string {
	if t.to == nil { // pflag asks the zero value
		return ""
	}
	return *t.to
}

// list is the value of a flag that may be repeated. Nothing is split: an audience may have commas.
type list struct {
	to   *[]string
	kind string
}

func (l list) Type() string { return l.kind }

func (l list) Set(s string) error {
	if s == "" {
		return errEmpty
	}
	*l.to = append(*l.to, s)
	return nil
}

func (l list) String() string { return "" }
