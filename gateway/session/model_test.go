package session

import (
	"math/rand/v2"
	"net/http/httptest"
	"testing"
	"time"
)

// model is the simplest thing that could be right: every id that was ever handed out,
// looked through each time.
type model struct {
	c   Config
	now func() time.Time
	ids []*modelID
}

type modelID struct {
	id, who string
	expires time.Time
	open    *Session
	used    bool
}

// counts returns the ids that are not used yet, those of one identity among them, and the connections.
func (m *model) counts(who string) (unused, his, open int) {
	for _, i := range m.ids {
		if i.open != nil {
			open++
		}
		if !i.used && (i.open != nil || m.now().Before(i.expires)) {
			unused++
			if i.who == who {
				his++
			}
		}
	}
	return unused, his, open
}

func (m *model) mayCreate(who string) bool {
	unused, his, _ := m.counts(who)
	return unused < m.c.Max && his < m.c.MaxPerIdentity
}

func (m *model) mayBegin(i *modelID) bool {
	_, _, open := m.counts("")
	return !i.used && i.open == nil && m.now().Before(i.expires) && open < m.c.Concurrency
}

// TestModel compares long random stories with the model.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 3))
		clock := newClock()
		m := &model{c: Config{Issue: true, Max: 20, MaxPerIdentity: 8, Concurrency: 5, Now: clock.Now}, now: clock.Now}
		s := newSessions(t, m.c)
		for step := range 1500 {
			if random.IntN(6) == 0 {
				clock.advance(time.Duration(random.ExpFloat64() * float64(time.Minute)))
			}
			if who := string(rune('a' + random.IntN(5))); random.IntN(3) == 0 || len(m.ids) == 0 {
				m.create(t, s, who)
			} else {
				m.advance(t, s, m.ids[random.IntN(len(m.ids))], random.IntN(2) == 0)
			}
			unused, _, open := m.counts("")
			if got := s.Counts(); got.Open != open || got.Waiting > unused {
				t.Fatalf("seed %d, step %d: got %+v, want %d open, and of %d unused ids those that nobody is about to use", seed, step, got, open, unused)
			}
		}
		for _, i := range m.ids {
			if i.open != nil {
				i.open.End()
			}
		}
		clock.advance(time.Hour)
		wantEmpty(t, s)
	}
}

func (m *model) create(t *testing.T, s *Sessions, who string) {
	t.Helper()
	may := m.mayCreate(who)
	w := httptest.NewRecorder()
	if err := s.Create(w, post(tcp), person(who), nil); (err == nil) != may {
		t.Fatalf("an id for %s: got %v, want one: %v", who, err, may)
	}
	if may {
		id := idAnswer.FindStringSubmatch(w.Body.String())[1]
		m.ids = append(m.ids, &modelID{id: id, who: who, expires: m.now().Add(10 * time.Minute)})
	}
}

// advance uses an id, or brings its connection a step further.
func (m *model) advance(t *testing.T, s *Sessions, i *modelID, upgrade bool) {
	t.Helper()
	switch {
	case i.open == nil:
		may := m.mayBegin(i)
		session, err := s.Begin(use(i.id), nil, nil)
		if (err == nil) != may {
			t.Fatalf("%+v: got %v, want a connection: %v", i, err, may)
		}
		i.open = session
	case upgrade:
		i.open.Upgraded()
		i.used = true
	default:
		i.open.End()
		i.open = nil
	}
}
