package redisstore

import (
	"context"
	"os"
	"strings"
	"testing"

	"seqrec/internal/event"
	"seqrec/internal/services"
	"seqrec/internal/store"
)

// documentedRights are the commands that docs/format/redis.md lists for an ACL user, without those of a cluster.
func documentedRights(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/format/redis.md")
	check(t, err)
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "`+get ") {
			return strings.Fields(strings.Trim(line, "`,\n"))
		}
	}
	t.Fatal("the page lists no rights")
	return nil
}

// TestDocumentedRightsSuffice does everything as a user who has just the rights of the page.
func TestDocumentedRightsSuffice(t *testing.T) {
	ctx := t.Context()
	rights := append([]string{"--user", "svc", "on", ">pw", "resetkeys", "~acl:*", "-@all"}, documentedRights(t)...)
	r := startRedis(t, services.RedisOptions{Args: rights})
	s := open(t, Options{Addrs: []string{r.Addr}, Username: "svc", Password: "pw", Prefix: "acl"})
	mustAppend(t, s, history("u", 900))
	if got, err := readAll(s, "u"); err != nil || len(got) != 900 {
		t.Errorf("%d events, %v", len(got), err)
	}
	_, _, err := s.History(ctx, "u", store.Page{Kind: "view"})
	check(t, err)
	check(t, s.PutItems(ctx, []store.Item{{ID: "a"}}))
	_, err = s.Items(ctx, []event.ItemID{"a"})
	check(t, err)
	check(t, s.AllItems(ctx, func(store.Item) error { return nil }))
	check(t, s.DeleteItem(ctx, "a"))
	check(t, s.Users(ctx, func(event.UserID) error { return nil }))
	receipt, err := s.Erase(ctx, "u")
	check(t, err)
	_, err = s.Erasure(context.Background(), receipt.ID)
	check(t, err)
}
