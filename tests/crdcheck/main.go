// crdcheck asks Kubernetes' own code, without a cluster, what an API server would say of a CRD and of objects.
//
//	crdcheck CRD.yaml < cases > verdicts
//
// Each line of the input is a case: {"plan": YAML, "old": YAML}; with "old" it is an update of that. The first line of
// the output is about the CRD, each other one about a case, all in the form {"refused": [{"at": .., "error": ..}],
// "cost": N}. An unknown field is refused, as `kubectl apply` does it; the cost is that of the CEL rules.
//
//	crdcheck --read < texts > readings
//
// Each line of the input is a YAML text as a JSON string; each line of the output says what of it `kubectl apply -f`
// and `kubectl apply -k` send: {"file": JSON, "kustomization": JSON}, or {"error": ..} in the place of one that is
// refused.
//
//	crdcheck --health CRD.yaml HEALTH.lua < objects > healths
//
// Each line of the input is an object as JSON; each line of the output says what kstatus and a health check of Argo CD
// make of it: {"kstatus": "Current", "message": "..", "argo": "Healthy"}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

type fault struct {
	At    string `json:"at"`
	Error string `json:"error"`
}

type verdict struct {
	Refused []fault `json:"refused"`
	Cost    int64   `json:"cost"`
}

// server holds what an API server makes of a CRD.
type server struct {
	schema *schema.Structural
	values schemavalidation.SchemaValidator
	rules  *cel.Validator
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--read" {
		fail(readAll())
		return
	}
	if len(os.Args) == 4 && os.Args[1] == "--health" {
		fail(healthOfAll(os.Args[2], os.Args[3]))
		return
	}
	if len(os.Args) != 2 {
		fail(fmt.Errorf("one CRD is expected, or --read, or --health, a CRD and a script"))
	}
	out := json.NewEncoder(os.Stdout)
	server, verdict, err := install(os.Args[1])
	fail(err)
	fail(out.Encode(verdict))
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var one struct{ Plan, Old string }
		fail(json.Unmarshal(in.Bytes(), &one))
		verdict, err := server.judge(one.Plan, one.Old)
		fail(err)
		fail(out.Encode(verdict))
	}
	fail(in.Err())
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "crdcheck:", err)
		os.Exit(1)
	}
}

func install(path string) (*server, *verdict, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	var given v1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &given); err != nil {
		return nil, nil, err
	}
	v1.SetDefaults_CustomResourceDefinition(&given)
	v1.SetDefaults_CustomResourceDefinitionSpec(&given.Spec)
	given.Status.StoredVersions = []string{given.Spec.Versions[0].Name}
	var crd apiextensions.CustomResourceDefinition
	if err := v1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&given, &crd, nil); err != nil {
		return nil, nil, err
	}
	refused := faults(validation.ValidateCustomResourceDefinition(context.Background(), &crd))
	// The conversion puts the schema of an only version at the top.
	validated := crd.Spec.Validation
	if validated == nil {
		validated = crd.Spec.Versions[0].Schema
	}
	structural, err := schema.NewStructural(validated.OpenAPIV3Schema)
	if err != nil {
		return nil, nil, err
	}
	values, _, err := schemavalidation.NewSchemaValidator(validated.OpenAPIV3Schema)
	if err != nil {
		return nil, nil, err
	}
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	return &server{structural, values, rules}, &verdict{Refused: refused}, nil
}

func (server *server) judge(plan, old string) (*verdict, error) {
	object, unknown, err := server.read(plan)
	if err != nil {
		return nil, err
	}
	var before interface{}
	if old != "" {
		if before, _, err = server.read(old); err != nil {
			return nil, err
		}
	}
	errors := schemavalidation.ValidateCustomResource(nil, object, server.values)
	errors = append(errors, listtype.ValidateListSetsAndMaps(nil, server.schema, object)...)
	broken, left := server.rules.Validate(context.Background(), nil, server.schema, object, before, celconfig.RuntimeCELCostBudget)
	refused := append(unknown, faults(append(errors, broken...))...)
	return &verdict{Refused: refused, Cost: celconfig.RuntimeCELCostBudget - left}, nil
}

// read gives an object as it would be stored, and the fields that would be lost.
func (server *server) read(text string) (map[string]interface{}, []fault, error) {
	asJSON, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, nil, err
	}
	var object map[string]interface{}
	if err := utiljson.Unmarshal(asJSON, &object); err != nil {
		return nil, nil, err
	}
	track := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	unknown := []fault{}
	for _, path := range pruning.PruneWithOptions(object, server.schema, true, track) {
		unknown = append(unknown, fault{path, "unknown field"})
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, server.schema)
	defaulting.Default(object, server.schema)
	return object, unknown, nil
}

func faults(errors field.ErrorList) []fault {
	all := []fault{}
	for _, one := range errors {
		all = append(all, fault{one.Field, one.ErrorBody()})
	}
	return all
}
