package tests

import (
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/resource"
	"github.com/yannh/kubeconform/pkg/validator"
)

// conform holds a manifest to testdata/schemas.
func conform(t *testing.T) func(manifest string) error {
	t.Helper()
	v, err := validator.New([]string{"testdata/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json"}, validator.Opts{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	return func(manifest string) error { return v.ValidateResource(resource.Resource{Bytes: []byte(manifest)}).Err }
}

// TestConforms is kubeconform -strict, without its network.
func TestConforms(t *testing.T) {
	check := conform(t)
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			for _, doc := range documents(mustRender(t, readValues(t, name))) {
				if err := check(doc); err != nil {
					t.Errorf("%v in\n%s", err, doc)
				}
			}
		})
	}
}

// TestConformsRefuses breaks manifests to see the check above refuse them.
func TestConformsRefuses(t *testing.T) {
	all := strings.Join(documents(mustRender(t, readValues(t, "everything"))), "---\n")
	check := conform(t)
	for _, c := range []struct{ name, kind, from, to string }{
		{"unknown key deep inside", "Deployment", "readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"},
		{"number for a text", "Deployment", "name: recsvc", "name: 1"},
		{"missing key", "StatefulSet", "serviceName: x", ""},
		{"unknown kind", "Unknown", "", ""},
		{"unknown key of a custom resource", "ServiceMonitor", "endpoints:", "endpoint:"},
		{"unknown key of a scaler", "ScaledObject", "maxReplicaCount:", "maxReplicas:"},
		{"wrong word of an enum", "HTTPRoute", "type: PathPrefix", "type: Prefix"},
		{"text for a list", "PrometheusRule", "groups:", "groups: none\n  more:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := "apiVersion: apps/v1\nkind: " + c.kind + "\nmetadata: {name: x}\nspec: {}\n"
			for part := range strings.SplitSeq(all, "---\n") {
				if strings.Contains(part, "\nkind: "+c.kind+"\n") {
					doc = strings.Replace(part, c.from, c.to, 1)
				}
			}
			if err := check(doc); err == nil {
				t.Errorf("nothing is said about\n%s", doc)
			}
		})
	}
}

// pods gives the pod specs of an object, if it has any, with their labels.
func pods(o object) (spec, meta map[string]any) {
	at := map[string][]string{
		"Pod": {}, "Deployment": {"spec", "template"}, "StatefulSet": {"spec", "template"},
		"CronJob": {"spec", "jobTemplate", "spec", "template"},
	}
	path, ok := at[o.kind()]
	if !ok {
		return nil, nil
	}
	spec, _ = o.at(append(path[:len(path):len(path)], "spec")...).(map[string]any)
	meta, _ = o.at(append(path[:len(path):len(path)], "metadata")...).(map[string]any)
	return spec, meta
}

// TestPods holds every pod to what a hardened cluster admits, and more.
func TestPods(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			seen := 0
			for _, o := range objects(t, mustRender(t, readValues(t, name))) {
				if spec, _ := pods(o); spec != nil {
					seen++
					checkPod(t, o, spec)
				}
			}
			if seen < 2 {
				t.Errorf("%d pods, want a server and a test at least", seen)
			}
		})
	}
}

func checkPod(t *testing.T, o object, spec object) {
	t.Helper()
	want := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s is %v, want %v", o.kind(), what, got, want)
		}
	}
	want("token", spec["automountServiceAccountToken"], false)
	want("runAsNonRoot", spec.at("securityContext", "runAsNonRoot"), true)
	want("seccomp", spec.at("securityContext", "seccompProfile", "type"), "RuntimeDefault")
	for _, c := range spec["containers"].([]any) {
		c := object(c.(map[string]any))
		want("root filesystem", c.at("securityContext", "readOnlyRootFilesystem"), true)
		want("escalation", c.at("securityContext", "allowPrivilegeEscalation"), false)
		drop, _ := c.at("securityContext", "capabilities", "drop").([]any)
		want("dropped capabilities", len(drop) == 1 && drop[0] == "ALL", true)
		want("memory limit", c.at("resources", "limits", "memory") != nil, true)
		if c["name"] != "recsvc" {
			continue
		}
		want("readiness", c.at("readinessProbe", "httpGet", "path"), "/readyz")
		want("liveness", c.at("livenessProbe", "httpGet", "path"), "/livez")
		want("startup", c.at("startupProbe", "httpGet", "path"), "/livez")
		for _, probe := range []string{"readinessProbe", "livenessProbe", "startupProbe"} {
			want(probe+" port", c.at(probe, "httpGet", "port"), "probes")
		}
	}
}

// TestGoMemLimit reads quantities as Kubernetes does.
func TestGoMemLimit(t *testing.T) {
	for _, c := range []struct{ limit, want any }{
		{"2Gi", "1843MiB"}, {"4.5Gi", "4147MiB"}, {"512Mi", "460MiB"}, {"1G", "858MiB"}, {"2000000Ki", "1757MiB"},
		{"1Ti", "943718MiB"}, {1073741824, "921MiB"}, {"1073741824", "921MiB"},
	} {
		files := mustRender(t, map[string]any{"resources": map[string]any{"limits": map[string]any{"memory": c.limit}}})
		if got := env(objects(t, files), "GOMEMLIMIT"); got != c.want {
			t.Errorf("of %v: %v, want %v", c.limit, got, c.want)
		}
	}
}

// env reads a variable of the first pod's container.
func env(all []object, name string) any {
	for _, o := range all {
		spec, _ := pods(o)
		if spec == nil || o.kind() == "Pod" {
			continue
		}
		vars, _ := spec["containers"].([]any)[0].(map[string]any)["env"].([]any)
		for _, v := range vars {
			if v := v.(map[string]any); v["name"] == name {
				return v["value"]
			}
		}
	}
	return nil
}
