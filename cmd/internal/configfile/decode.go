package configfile

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// decoder puts nodes into Go values, and remembers which key is which node.
type decoder struct {
	index    map[string]record // by the key's first spelling
	upstream []string          // keys whose field is tagged for:"others", as they are written
	types    reflect.Type      // of the whole configuration
}

type record struct {
	node    *node
	written string // the key as it stands in the file
}

// position is where the decoder is: the key in its first spelling, and as it is written.
type position struct{ key, written string }

func (p position) child(key, written string) position {
	if p.key == "" {
		return position{key, written}
	}
	return position{p.key + "." + key, p.written + "." + written}
}

func (p position) item(i int) position {
	index := "[" + strconv.Itoa(i) + "]"
	return position{p.key + index, p.written + index}
}

// wrap puts the key before what is wrong with its value, once.
func (p position) wrap(n *node, err error) error {
	var placed *fault
	if errors.As(err, &placed) {
		return placed
	}
	if p.written == "" {
		return &fault{n.at, err}
	}
	return &fault{n.at, fmt.Errorf("%s: %w", p.written, err)}
}

var (
	errEmpty       = errors.New("is empty; give it a value or remove it")
	textType       = reflect.TypeFor[encoding.TextUnmarshaler]()
	unmarshalTypes = reflect.TypeFor[unmarshaler]()
)

// unmarshaler is a value that may be written in more than one way: it calls
// unmarshal with one form after the other.
type unmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

func (d *decoder) decode(n *node, v reflect.Value, p position) error {
	d.index[p.key] = record{n, p.written}
	if n.kind == null {
		return p.wrap(n, errEmpty)
	}
	switch target := v.Addr(); {
	case target.Type().Implements(unmarshalTypes):
		err := target.Interface().(unmarshaler).UnmarshalYAML(func(form any) error {
			return d.decode(n, reflect.ValueOf(form).Elem(), p)
		})
		if err != nil {
			return p.wrap(n, err)
		}
		return nil
	case target.Type().Implements(textType):
		if !n.kind.scalar() {
			return p.wrap(n, unlike(n, text))
		}
		if err := target.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err != nil {
			return p.wrap(n, err)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.decode(n, v.Elem(), p)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.plain()))
		return nil
	case reflect.Struct:
		return d.decodeStruct(n, v, p)
	case reflect.Map:
		return d.decodeMap(n, v, p)
	case reflect.Slice:
		return d.decodeList(n, v, p)
	}
	if err := decodeScalar(n, v); err != nil {
		return p.wrap(n, err)
	}
	return nil
}

func (d *decoder) decodeStruct(n *node, v reflect.Value, p position) error {
	s := shapeOf(v.Type())
	short := n.kind.scalar()
	n = s.unfold(n)
	if n.kind != mapping {
		return p.wrap(n, unlike(n, mapping))
	}
	given := map[string]string{}
	for _, e := range n.entries {
		f, ok := s.field(e.key)
		if !ok {
			return &fault{e.at, fmt.Errorf("unknown field %.60q%s", e.key, d.remedy(s, e.key, p.written))}
		}
		if before, twice := given[f.name]; twice {
			return &fault{e.at, fmt.Errorf("%sgot %s and %s, want one of the two: they are the same key", prefix(p.written), before, e.key)}
		}
		given[f.name] = e.key
		here := p.child(f.name, e.key)
		if short {
			here.written = p.written
		}
		switch {
		case f.others:
			d.index[here.key] = record{e.value, here.written}
			d.upstream = append(d.upstream, here.written)
			continue
		case e.value.kind == null && f.nullable:
			continue // as if it were not there
		}
		if err := d.decode(e.value, v.FieldByIndex(f.index), here); err != nil {
			return err
		}
	}
	return nil
}

func prefix(key string) string {
	if key == "" {
		return ""
	}
	return key + ": "
}

func (d *decoder) decodeMap(n *node, v reflect.Value, p position) error {
	if n.kind != mapping {
		return p.wrap(n, unlike(n, mapping))
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range n.entries {
		value := reflect.New(v.Type().Elem()).Elem()
		if e.value.kind != null { // its owner refuses the zero value
			if err := d.decode(e.value, value, p.child(e.key, e.key)); err != nil {
				return err
			}
		}
		v.SetMapIndex(reflect.ValueOf(e.key), value)
	}
	return nil
}

func (d *decoder) decodeList(n *node, v reflect.Value, p position) error {
	if n.kind != list {
		return p.wrap(n, unlike(n, list))
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		if err := d.decode(item, v.Index(i), p.item(i)); err != nil {
			return err
		}
	}
	return nil
}

func decodeScalar(n *node, v reflect.Value) error {
	switch v.Kind() {
	case reflect.String: // a number may be a name
		if n.kind != text && n.kind != number {
			return unlike(n, text)
		}
		v.SetString(n.text)
		return nil
	case reflect.Bool:
		b, ok := n.value.(bool)
		if !ok {
			return unlike(n, boolean)
		}
		v.SetBool(b)
		return nil
	}
	if n.kind != number {
		return unlike(n, number)
	}
	return decodeNumber(n, v)
}

func decodeNumber(n *node, v reflect.Value) error {
	if v.CanFloat() {
		f, err := strconv.ParseFloat(fmt.Sprint(n.value), 64)
		if err != nil {
			return errors.New("got a number that is too large")
		}
		v.SetFloat(f)
		return nil
	}
	var positive uint64
	switch number := n.value.(type) {
	case int64:
		if v.CanInt() && !v.OverflowInt(number) {
			v.SetInt(number)
			return nil
		}
		if number < 0 {
			return fmt.Errorf("got %d, want a number that is not negative", number)
		}
		positive = uint64(number)
	case uint64:
		positive = number
	default:
		return fmt.Errorf("got %.40s, want a whole number", n.text)
	}
	switch {
	case v.CanUint() && !v.OverflowUint(positive):
		v.SetUint(positive)
	case v.CanInt() && positive <= math.MaxInt64 && !v.OverflowInt(int64(positive)):
		v.SetInt(int64(positive))
	default:
		return fmt.Errorf("got %.40s, want a smaller number", n.text)
	}
	return nil
}

// unlike says which kind of value is wanted.
func unlike(n *node, want kind) error {
	switch {
	case n.kind == mapping && want == text:
		return fmt.Errorf("got %s, want %s; text with a colon in it needs quotes", n.kind, want)
	case n.kind == boolean && want == text:
		return fmt.Errorf("got %s, want %s; as text it needs quotes", n.kind, want)
	}
	return fmt.Errorf("got %s, want %s", n.kind, want)
}

// remedy says where a key is unknown, and what was meant if it is near enough.
func (d *decoder) remedy(s *shape, key, holder string) string {
	where := ""
	if holder != "" {
		where = " in " + holder
	}
	if near := s.nearest(key); near != "" {
		return fmt.Sprintf("%s, did you mean %q?", where, near)
	}
	if elsewhere := find(d.types, key, "", 0); elsewhere != "" {
		return where + "; it belongs in " + elsewhere
	}
	if names := s.names(); len(names) > 0 && len(names) <= 12 {
		return where + ", want one of " + strings.Join(names, ", ")
	}
	return where
}
