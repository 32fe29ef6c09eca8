package tests

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

var updateSchemas = flag.Bool("update-schemas", false, "take testdata/schemas anew from the modules that TestSchemas names")

const (
	kubernetes  = "sigs.k8s.io/kubectl-validate@v0.0.4"
	operator    = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	keda        = "github.com/kedacore/keda/v2@v2.21.0"
	gateway     = "sigs.k8s.io/gateway-api@v1.5.1"
	openapi     = "pkg/openapiclient/builtins/1.30/"
	definitions = "#/definitions/"
)

// schemas says where each schema in testdata comes from: a file of a Go module, either an OpenAPI document
// of Kubernetes and the name of the type in it, or a CustomResourceDefinition and its version.
var schemas = []struct{ module, file, typ, to string }{
	{kubernetes, openapi + "api/v1.json", "io.k8s.api.core.v1.ConfigMap", "configmap-v1"},
	{kubernetes, openapi + "api/v1.json", "io.k8s.api.core.v1.PersistentVolumeClaim", "persistentvolumeclaim-v1"},
	{kubernetes, openapi + "api/v1.json", "io.k8s.api.core.v1.Pod", "pod-v1"},
	{kubernetes, openapi + "api/v1.json", "io.k8s.api.core.v1.Secret", "secret-v1"},
	{kubernetes, openapi + "api/v1.json", "io.k8s.api.core.v1.Service", "service-v1"},
	{kubernetes, openapi + "api/v1.json", "io.k8s.api.core.v1.ServiceAccount", "serviceaccount-v1"},
	{kubernetes, openapi + "apis/apps/v1.json", "io.k8s.api.apps.v1.Deployment", "deployment-apps-v1"},
	{kubernetes, openapi + "apis/apps/v1.json", "io.k8s.api.apps.v1.StatefulSet", "statefulset-apps-v1"},
	{kubernetes, openapi + "apis/autoscaling/v2.json", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", "horizontalpodautoscaler-autoscaling-v2"},
	{kubernetes, openapi + "apis/batch/v1.json", "io.k8s.api.batch.v1.CronJob", "cronjob-batch-v1"},
	{kubernetes, openapi + "apis/networking.k8s.io/v1.json", "io.k8s.api.networking.v1.Ingress", "ingress-networking-v1"},
	{kubernetes, openapi + "apis/networking.k8s.io/v1.json", "io.k8s.api.networking.v1.NetworkPolicy", "networkpolicy-networking-v1"},
	{kubernetes, openapi + "apis/policy/v1.json", "io.k8s.api.policy.v1.PodDisruptionBudget", "poddisruptionbudget-policy-v1"},
	{operator, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml", "v1", "servicemonitor-monitoring-v1"},
	{operator, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml", "v1", "prometheusrule-monitoring-v1"},
	{keda, "config/crd/bases/keda.sh_scaledobjects.yaml", "v1alpha1", "scaledobject-keda-v1alpha1"},
	{gateway, "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml", "v1", "httproute-gateway-v1"},
}

// TestSchemas writes testdata/schemas. Without -update-schemas it asks only that every schema is there and says its source.
func TestSchemas(t *testing.T) {
	for _, s := range schemas {
		to := "testdata/schemas/" + s.to + ".json"
		source := fmt.Sprintf("%s %s %s", s.module, s.file, s.typ)
		if *updateSchemas {
			writeSchema(t, to, source, moduleFile(t, s.module, s.file), s.typ)
		}
		data, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte(source)) {
			t.Errorf("%s does not come from %s", to, source)
		}
	}
}

// moduleFile reads a file of a Go module, downloading the module if it must.
func moduleFile(t *testing.T, module, file string) []byte {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	if err != nil {
		t.Fatalf("download %s: %v", module, err)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(m.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeSchema turns what Kubernetes says of a type into a JSON schema that refuses unknown keys.
func writeSchema(t *testing.T, to, source string, data []byte, typ string) {
	t.Helper()
	schema, err := openAPISchema(data, typ)
	if bytes.Contains(data, []byte("kind: CustomResourceDefinition")) {
		schema, err = crdSchema(data, typ)
	}
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	schema["$comment"] = "From the Go module " + source + ", descriptions removed, unknown keys refused."
	out, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func crdSchema(data []byte, version string) (map[string]any, error) {
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema map[string]any }
			}
		}
	}
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return nil, err
	}
	for _, v := range crd.Spec.Versions {
		if v.Name == version {
			root := v.Schema.OpenAPIV3Schema
			root["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
			return strict(root).(map[string]any), nil
		}
	}
	return nil, fmt.Errorf("there is no version %s", version)
}

func openAPISchema(data []byte, typ string) (map[string]any, error) {
	var doc struct {
		Components struct{ Schemas map[string]any }
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	used := map[string]any{}
	collect(used, doc.Components.Schemas, typ)
	if used[typ] == nil {
		return nil, fmt.Errorf("there is no type %s", typ)
	}
	return map[string]any{"$ref": definitions + typ, "definitions": used}, nil
}

// collect adds a type and those it names to the used ones.
func collect(used, all map[string]any, typ string) {
	if used[typ] != nil || all[typ] == nil {
		return
	}
	text, err := json.Marshal(all[typ])
	if err != nil {
		panic(err) // it was JSON a moment ago
	}
	used[typ] = strict(all[typ])
	for part := range strings.SplitSeq(string(text), `"#/components/schemas/`) {
		if name, _, ok := strings.Cut(part, `"`); ok {
			collect(used, all, name)
		}
	}
}

// strict removes what a check does not need, closes objects, and writes OpenAPI's own words as JSON Schema has them.
func strict(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = strict(v[i])
		}
		return v
	case map[string]any:
		return strictObject(v)
	}
	return v
}

func strictObject(m map[string]any) map[string]any {
	intOrString := m["format"] == "int-or-string" || m["x-kubernetes-int-or-string"] == true
	_, named := m["properties"].(map[string]any)
	if named && m["additionalProperties"] == nil && m["x-kubernetes-preserve-unknown-fields"] != true {
		m["additionalProperties"] = false
	}
	out := map[string]any{}
	for key, value := range m {
		switch {
		case key == "properties":
			props := map[string]any{}
			for name, p := range value.(map[string]any) {
				props[name] = strict(p)
			}
			out[key] = props
		case key == "description" || key == "default" || key == "format" || strings.HasPrefix(key, "x-"):
		case key == "$ref":
			out[key] = strings.Replace(value.(string), "#/components/schemas/", definitions, 1)
		default:
			out[key] = strict(value)
		}
	}
	if intOrString {
		return map[string]any{"type": []any{"integer", "string"}}
	}
	return out
}
