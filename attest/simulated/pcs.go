package simulated

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// PCS is a fake of Intel's Provisioning Certification Service, version 4: an
// [http.Handler], safe for concurrent use. It issues the judgements of its platforms anew for
// every request, valid from the instant of the request for 30 days, under
//
//	/{sgx,tdx}/certification/v4/{tcb,qe/identity}
//	/sgx/certification/v4/pckcrl
//	/sgx/certification/v4/rootcacrl (which a PCCS has alone)
//	/IntelSGXRootCA.der (the root's revocation list, which Intel serves under another host name)
//
// with the parameters, the status codes and the headers of Intel's. Its face as a caching service is [PCS.PCCS].
//
// It can be made to fail or to lie at run time: see [PCS.Fail].
type PCS struct {
	Now func() time.Time // when documents are issued; nil means a minute ago, so that none is newer than who asks. Set it before the first request.

	platforms []*Platform

	mu       sync.Mutex
	number   uint32
	faults   map[string]PCSFault // by document; "" is every one
	changed  chan struct{}       // closed when the faults change
	requests map[string]int      // by document
	total    int
}

// The documents that a PCS serves.
const (
	TCBInfo    = "tcb"
	QEIdentity = "qe/identity"
	PCKCRL     = "pckcrl"
	RootCACRL  = "rootcacrl"
)

// NewPCS makes a service that knows the given platforms, at least one. They
// must have one root, that is one seed: a service has one maker. Of platforms of one family it judges the first by its faults.
func NewPCS(platforms ...*Platform) *PCS {
	if len(platforms) == 0 {
		panic("simulated: a PCS without a platform")
	}
	for _, p := range platforms[1:] {
		if !p.root.Equal(platforms[0].root) {
			panic("simulated: the platforms of a PCS have two roots")
		}
	}
	return &PCS{
		platforms: platforms,
		number:    EvaluationNumber,
		faults:    map[string]PCSFault{},
		changed:   make(chan struct{}),
		requests:  map[string]int{},
	}
}

// Publish begins a new revision of the judgements (a TCB recovery): the number is that of update=standard;
// that of update=early is one more.
func (s *PCS) Publish(number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number = number
}

// Requests returns how many requests came for a document, or for all of them if it is empty.
// It counts those that a fault spoiled, too.
func (s *PCS) Requests(document string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if document == "" {
		return s.total
	}
	return s.requests[document]
}

// Fail makes requests for the given documents, or for all of them if none is given, meet a fault from now on, and
// lets those go on that [PCSSlow] holds. The empty fault ends it.
func (s *PCS) Fail(f PCSFault, documents ...string) {
	if f != "" && !f.known() {
		panic(fmt.Sprintf("simulated: PCS fault: got %q, want one of PCSFaults()", string(f)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(documents) == 0 {
		clear(s.faults)
		documents = []string{""}
	}
	for _, d := range documents {
		s.faults[d] = f
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// ServeHTTP implements [http.Handler] with the face of Intel's service.
func (s *PCS) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.serve(w, r, intel) }

// PCCS is the same service, its faults and its count of requests behind the face of
// Intel's caching service: API versions 3 and 4, revocation lists in hex, errors in the body.
func (s *PCS) PCCS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, pccs) })
}

// state is what holds for one request.
type state struct {
	now     time.Time
	number  uint32
	fault   PCSFault
	changed <-chan struct{}
	id      int // of the request
}

// admit counts a request, and tells what it meets.
func (s *PCS) admit(document string) state {
	now := func() time.Time { return time.Now().Add(-time.Minute) }
	if s.Now != nil {
		now = s.Now
	}
	at := now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	s.requests[document]++
	f, ok := s.faults[document]
	if !ok {
		f = s.faults[""]
	}
	return state{at, s.number, f, s.changed, s.total}
}

func (s *PCS) serve(w http.ResponseWriter, r *http.Request, f face) {
	q, ok := route(r.URL.Path)
	if !ok || !f.serves(q) {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
		return
	}
	q.query = r.URL.Query()
	st := s.admit(q.document)
	for st.fault == PCSSlow {
		select {
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		case <-st.changed:
			st = s.again(st, q.document)
		}
	}
	w.Header().Set("Request-ID", fmt.Sprintf("%032x", st.id))
	if st.fault.strike(w, r, f) {
		return
	}
	a := s.answer(q, st, f)
	st.fault.spoil(&a)
	a.write(w, st.fault)
}

// again is the state of a request that was held, when the faults changed.
func (s *PCS) again(st state, document string) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.faults[document]
	if !ok {
		f = s.faults[""]
	}
	st.fault, st.changed = f, s.changed
	return st
}

// question is a request for a document.
type question struct {
	tee      string // "sgx" or "tdx"
	version  int    // of the API: 3 or 4
	document string
	query    map[string][]string
}

func (q question) get(name string) string {
	if v := q.query[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// route reads a path.
func route(path string) (question, bool) {
	if strings.HasSuffix(path, "RootCA.der") {
		return question{tee: "sgx", version: 4, document: RootCACRL}, true
	}
	for _, kind := range []string{"sgx", "tdx"} {
		_, rest, ok := strings.Cut(path, "/"+kind+"/certification/v")
		if !ok {
			continue
		}
		version, document, _ := strings.Cut(rest, "/")
		q := question{tee: kind, version: map[string]int{"3": 3, "4": 4}[version], document: document}
		switch document {
		case TCBInfo, QEIdentity:
			return q, q.version == 4 || q.version == 3 && kind == "sgx"
		case PCKCRL, RootCACRL:
			return q, q.version != 0 && kind == "sgx"
		}
	}
	return question{}, false
}

// answer is what a service says.
type answer struct {
	status int
	header map[string]string
	chain  string // the name of the header that has the issuer chain
	body   []byte
}

func (a *answer) write(w http.ResponseWriter, f PCSFault) {
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	if f == PCSOversize {
		w.WriteHeader(a.status)
		blank := bytes.Repeat([]byte{' '}, 1<<20) // JSON, too: nobody may wait for its end
		for range 64 {
			if _, err := w.Write(blank); err != nil {
				return
			}
		}
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
	w.WriteHeader(a.status)
	if f == PCSTruncates {
		w.Write(a.body[:len(a.body)/2])
		http.NewResponseController(w).Flush() // fails for a writer that keeps nothing back
		panic(http.ErrAbortHandler)
	}
	w.Write(a.body)
}
