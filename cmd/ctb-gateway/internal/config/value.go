package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// duration is written as Go writes it, or as a number of seconds.
type duration time.Duration

// UnmarshalText reads "10m", "1.5h" or "1800".
func (d *duration) UnmarshalText(text []byte) error {
	s := string(text)
	if v, err := time.ParseDuration(s); err == nil {
		*d = duration(v)
		return nil
	}
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(seconds) || math.Abs(seconds) > math.MaxInt64/float64(2*time.Second) {
		return fmt.Errorf("got %.40q, want a duration such as 10m, or a number of seconds", s)
	}
	*d = duration(seconds * float64(time.Second))
	return nil
}

// onOff is a switch: on and off are as good as true and false.
type onOff bool

// UnmarshalText reads the switch.
func (o *onOff) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "on", "true":
		*o = true
	case "off", "false":
		*o = false
	default:
		return fmt.Errorf("got %.40q, want on, off, or keys and values", text)
	}
	return nil
}

// oneOrMore is a list that may be written as its one element.
type oneOrMore []string

// UnmarshalYAML reads the list, or the element.
func (o *oneOrMore) UnmarshalYAML(unmarshal func(any) error) error {
	if many, err := isList(unmarshal); err != nil || many {
		return errors.Join(err, unmarshal((*[]string)(o)))
	}
	*o = make([]string, 1)
	return unmarshal(&(*o)[0])
}

func isList(unmarshal func(any) error) (bool, error) {
	var form any
	err := unmarshal(&form)
	_, is := form.([]any)
	return is, err
}

// claimPath leads to a claim: a text is split at its dots, a list is as it is.
type claimPath []string

// UnmarshalYAML reads the text or the list.
func (c *claimPath) UnmarshalYAML(unmarshal func(any) error) error {
	if steps, err := isList(unmarshal); err != nil || steps {
		return errors.Join(err, unmarshal((*[]string)(c)))
	}
	var name string
	if err := unmarshal(&name); err != nil {
		return err
	}
	*c = strings.Split(name, ".")
	return nil
}

// claimHeaders are written as a mapping of headers to claims, or as a list.
type claimHeaders []claimHeader

// UnmarshalYAML reads the mapping, which it sorts by header, or the list.
func (c *claimHeaders) UnmarshalYAML(unmarshal func(any) error) error {
	if many, err := isList(unmarshal); err != nil || many {
		err = errors.Join(err, unmarshal((*[]claimHeader)(c)))
		for i := range *c {
			(*c)[i].key = fmt.Sprintf("[%d]", i)
		}
		return err
	}
	claims := map[string]claimPath{}
	if err := unmarshal(&claims); err != nil {
		return err
	}
	for header, claim := range claims {
		*c = append(*c, claimHeader{Header: header, Claim: claim, key: "." + header})
	}
	slices.SortFunc(*c, func(a, b claimHeader) int { return strings.Compare(a.Header, b.Header) })
	return nil
}
