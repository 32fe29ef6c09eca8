package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"seqrec/internal/recommend"
)

// longBody is a predict request with a history of n events.
func longBody(n int) string {
	var b strings.Builder
	b.WriteString(`{"history":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"item":"%d","kind":"view","time":%d}`, 1000+i*7%3000, 978300000000+int64(i)*60000)
	}
	b.WriteString(`],"k":10}`)
	return b.String()
}

// BenchmarkReadPredict is the reading of a body with a history of 200.
func BenchmarkReadPredict(b *testing.B) {
	s := newTestServer(b, &fake{}, nil)
	body := []byte(longBody(200))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		buf := s.takeBuffer()
		buf.Write(body)
		sc := s.takeScanner(buf.Bytes())
		req := newPredictReader(sc, noon).request()
		if f := sc.end(); f != nil || len(req.History) != 200 {
			b.Fatal(f)
		}
		s.giveScanner(sc)
		s.giveBuffer(buf)
	}
}

// BenchmarkPredictHandler is the whole handler without a network; the service takes no time.
func BenchmarkPredictHandler(b *testing.B) {
	answer := exampleAnswer()
	for len(answer.Items) < 10 {
		answer.Items = append(answer.Items, answer.Items[0])
	}
	h := newTestServer(b, &fake{predict: func(context.Context, recommend.Request) (recommend.Answer, error) { return answer, nil }}, nil).Data()
	body := longBody(200)
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, "/v1/predict", strings.NewReader(body))
		req.Header.Set("Content-Type", mediaJSON)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
