-- @ drop_column: Its values go.
ALTER TABLE patients DROP COLUMN allergy;
-- @ drop_column_of_nulls: It held no value, but could have.
ALTER TABLE patients DROP COLUMN remark;
-- @ drop_column_if_exists: It exists.
ALTER TABLE patients DROP COLUMN IF EXISTS allergy;
-- @ drop_column_that_is_missing: There is none of the name.
ALTER TABLE patients DROP COLUMN IF EXISTS no_such_column;
-- @ drop_column_of_missing_table: There is no table of the name.
ALTER TABLE IF EXISTS no_such_table DROP COLUMN allergy;
-- @ drop_column_without_the_word: COLUMN can be left out.
ALTER TABLE patients DROP allergy;
-- @ drop_odd_column: A name with a quote in it.
ALTER TABLE "Odd.Table%" DROP COLUMN "wéird ""col";
-- @ drop_added_column: The plan made it.
ALTER TABLE patients ADD COLUMN fresh text; UPDATE patients SET fresh = name; ALTER TABLE patients DROP COLUMN fresh;
-- @ drop_column_perhaps_added: ADD IF NOT EXISTS meant the column that was there.
ALTER TABLE patients ADD COLUMN IF NOT EXISTS allergy text; ALTER TABLE patients DROP COLUMN allergy;
-- @ drop_and_add_column: The new column of the same name is empty.
ALTER TABLE patients DROP COLUMN allergy; ALTER TABLE patients ADD COLUMN allergy text;
-- @ add_and_drop_other: One command adds, the other drops.
ALTER TABLE patients ADD COLUMN allergies text[], DROP COLUMN allergy;
-- @ rename_and_drop_column: Under a new name it is still the same column.
ALTER TABLE patients RENAME COLUMN allergy TO reaction; ALTER TABLE patients DROP COLUMN reaction;
-- @ rename_column: A name is no data.
ALTER TABLE patients RENAME COLUMN allergy TO reaction;
-- @ drop_column_of_parent: The column of the child goes too.
ALTER TABLE places DROP COLUMN name;
-- @ drop_column_of_partitioned: It goes in every partition.
ALTER TABLE events DROP COLUMN what;
-- @ drop_generated_column: It can be computed again, and is dropped all the same.
ALTER TABLE boxes DROP COLUMN doubled;
-- @ drop_virtual_column [18]: It stores nothing.
ALTER TABLE codes ADD COLUMN v int GENERATED ALWAYS AS (id * 2) VIRTUAL; ALTER TABLE codes DROP COLUMN v;
-- @ drop_base_of_generated: CASCADE takes the generated column along.
ALTER TABLE boxes DROP COLUMN width CASCADE;
-- @ add_column: Something new.
ALTER TABLE patients ADD COLUMN fresh int NOT NULL DEFAULT 7;
-- @ set_default: Rows keep their values.
ALTER TABLE invoices ALTER COLUMN status SET DEFAULT 'new';
-- @ drop_default: Rows keep their values.
ALTER TABLE invoices ALTER COLUMN status DROP DEFAULT;
-- @ drop_not_null: Rows keep their values.
ALTER TABLE patients ALTER COLUMN name DROP NOT NULL;
-- @ set_not_null: Every row has a value.
ALTER TABLE patients ALTER COLUMN weight SET NOT NULL;
-- @ drop_expression: The values stay as they are.
ALTER TABLE boxes ALTER COLUMN doubled DROP EXPRESSION;
-- @ set_expression [17]: The stored values are computed anew.
ALTER TABLE boxes ALTER COLUMN doubled SET EXPRESSION AS (width * 3);
-- @ set_same_expression [17]: They are computed anew, and are the same.
ALTER TABLE boxes ALTER COLUMN doubled SET EXPRESSION AS (width * 2);
-- @ set_storage: How it is stored, not what.
ALTER TABLE patients ALTER COLUMN allergy SET STORAGE EXTERNAL;
-- @ varchar_wider: It has room for more.
ALTER TABLE patients ALTER COLUMN name TYPE varchar(40);
-- @ varchar_to_text: It has room for all.
ALTER TABLE patients ALTER COLUMN allergy TYPE varchar;
-- @ varchar_narrower_fits: Every value fits.
ALTER TABLE patients ALTER COLUMN name TYPE varchar(10);
-- @ text_cut: USING cuts the values.
ALTER TABLE patients ALTER COLUMN allergy TYPE varchar(3) USING left(allergy, 3);
-- @ same_type: It is of that type.
ALTER TABLE patients ALTER COLUMN allergy TYPE text;
-- @ same_type_using_null: The type stays, the values go.
ALTER TABLE patients ALTER COLUMN allergy TYPE text USING NULL;
-- @ same_type_using_itself: Type and values stay.
ALTER TABLE patients ALTER COLUMN allergy TYPE text USING allergy;
-- @ same_type_using_trim: The type stays, the values change.
ALTER TABLE patients ALTER COLUMN allergy TYPE text USING trim(allergy, 'n');
-- @ int_to_bigint: A wider number.
ALTER TABLE patients ALTER COLUMN visits_made TYPE bigint;
-- @ int_to_smallint_fits: Every value fits.
ALTER TABLE patients ALTER COLUMN visits_made TYPE smallint;
-- @ int_to_text: A text of the same digits.
ALTER TABLE patients ALTER COLUMN visits_made TYPE text;
-- @ int_to_boolean: Twelve numbers become two values.
ALTER TABLE patients ALTER COLUMN visits_made DROP DEFAULT, ALTER COLUMN visits_made TYPE boolean USING visits_made > 0;
-- @ boolean_to_int: It reads back the same.
ALTER TABLE patients ALTER COLUMN active DROP DEFAULT, ALTER COLUMN active TYPE int USING active::int;
-- @ numeric_wider: More digits on both sides.
ALTER TABLE patients ALTER COLUMN weight TYPE numeric(12,4);
-- @ numeric_unbounded: As many digits as there are.
ALTER TABLE patients ALTER COLUMN weight TYPE numeric;
-- @ numeric_rounded: The quarter is rounded away.
ALTER TABLE patients ALTER COLUMN weight TYPE numeric(8,1);
-- @ numeric_to_int: The decimals go.
ALTER TABLE patients ALTER COLUMN weight TYPE int;
-- @ numeric_fewer_decimals_fit: The decimals that go are zero.
ALTER TABLE invoices ALTER COLUMN amount TYPE numeric(10,2);
-- @ double_to_real: A third loses digits.
ALTER TABLE patients ALTER COLUMN risk TYPE real;
-- @ timestamp_to_date: The time of day goes.
ALTER TABLE patients ALTER COLUMN seen_at TYPE date;
-- @ timestamp_to_seconds: The half second goes.
ALTER TABLE patients ALTER COLUMN seen_at TYPE timestamp(0);
-- @ timestamp_to_timestamptz: The same instant, with a zone.
ALTER TABLE patients ALTER COLUMN seen_at TYPE timestamptz USING seen_at AT TIME ZONE 'UTC';
-- @ date_to_timestamp: Midnight is added.
ALTER TABLE patients ALTER COLUMN born TYPE timestamp;
-- @ char_to_text: What was padding goes.
ALTER TABLE patients ALTER COLUMN code TYPE text;
-- @ enum_to_text: A text of the same label.
ALTER TABLE patients ALTER COLUMN mood TYPE text;
-- @ enum_to_text_and_drop: The type goes, the labels are in the rows.
ALTER TABLE patients ALTER COLUMN mood TYPE text; DROP TYPE mood;
-- @ enum_swapped: To a wider type, label by label.
ALTER TYPE mood RENAME TO mood_old; CREATE TYPE mood AS ENUM ('calm', 'upset', 'absent', 'glad');
ALTER TABLE patients ALTER COLUMN mood TYPE mood USING mood::text::mood; DROP TYPE mood_old;
-- @ enum_label_removed_unused: No row had the label.
ALTER TYPE mood RENAME TO mood_old; CREATE TYPE mood AS ENUM ('calm', 'upset');
ALTER TABLE patients ALTER COLUMN mood TYPE mood USING mood::text::mood; DROP TYPE mood_old;
-- @ enum_label_merged: Two labels become one.
ALTER TYPE mood RENAME TO mood_old; CREATE TYPE mood AS ENUM ('calm');
ALTER TABLE patients ALTER COLUMN mood TYPE mood USING CASE mood WHEN 'calm' THEN 'calm'::mood END; DROP TYPE mood_old;
-- @ enum_label_renamed: It is the same label under another name.
ALTER TYPE mood RENAME VALUE 'upset' TO 'angry';
-- @ enum_value_added: A label more.
ALTER TYPE mood ADD VALUE 'glad';
-- @ drop_enum_cascade: The column of the type goes.
DROP TYPE mood CASCADE;
-- @ drop_unused_enum: No column is of it: it holds no value.
DROP TYPE unused_mood;
-- @ drop_unused_enum_cascade: No column is of it.
DROP TYPE unused_mood CASCADE;
-- @ drop_domain_cascade: The column of the domain goes.
DROP DOMAIN phone CASCADE;
-- @ drop_unused_domain: No column is of it.
DROP DOMAIN unused_domain;
-- @ domain_to_text: The same text without its check.
ALTER TABLE patients ALTER COLUMN phone TYPE text;
-- @ domain_constraint: A check more.
ALTER DOMAIN phone ADD CONSTRAINT short CHECK (length(VALUE) < 30);
-- @ drop_composite_cascade: The column of the type goes.
DROP TYPE address CASCADE;
-- @ drop_attribute: A field of every stored value goes.
ALTER TYPE address DROP ATTRIBUTE town;
-- @ add_attribute: A field more.
ALTER TYPE address ADD ATTRIBUTE country text;
-- @ rename_attribute: A name is no data.
ALTER TYPE address RENAME ATTRIBUTE town TO city;
-- @ drop_range_cascade: The column of the range goes.
DROP TYPE span CASCADE;
-- @ drop_citext: The column of the type goes.
DROP EXTENSION citext CASCADE;
-- @ citext_to_text: The same text, compared otherwise.
ALTER TABLE patients ALTER COLUMN mail TYPE text;
-- @ json_to_jsonb: Of two values of a key one goes.
ALTER TABLE patients ALTER COLUMN notes TYPE jsonb;
-- @ jsonb_to_json: The same value as a text.
ALTER TABLE patients ALTER COLUMN extra TYPE json;
-- @ array_to_text: The same array as a text.
ALTER TABLE patients ALTER COLUMN tags TYPE text USING tags::text;
-- @ array_to_first: The other elements go.
ALTER TABLE patients ALTER COLUMN tags TYPE text USING tags[1];
-- @ text_to_array: The text is the array's one element.
ALTER TABLE codes ALTER COLUMN meaning TYPE text[] USING string_to_array(meaning, NULL);
-- @ type_of_created_column: The plan made it.
ALTER TABLE codes ADD COLUMN score numeric DEFAULT 1.5; ALTER TABLE codes ALTER COLUMN score TYPE int;
-- @ type_of_empty_table: There is no value to change.
ALTER TABLE empty_table ALTER COLUMN id TYPE smallint;
-- @ collation_changed: The order changes, no value.
ALTER TABLE patients ALTER COLUMN name TYPE varchar(20) COLLATE "C";
-- @ drop_identity: Where it had counted to goes.
ALTER TABLE visits ALTER COLUMN id DROP IDENTITY;
-- @ add_identity: Something new.
ALTER TABLE archive ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (START WITH 100);
-- @ restart_identity: It counts from the beginning again.
ALTER TABLE visits ALTER COLUMN id RESTART WITH 1;
-- @ identity_ahead: It goes on from further up.
ALTER TABLE visits ALTER COLUMN id RESTART WITH 5000;
-- @ identity_always: It counts on.
ALTER TABLE visits ALTER COLUMN id SET GENERATED ALWAYS;
-- @ drop_serial_column: Values and counter go.
ALTER TABLE patients DROP COLUMN id CASCADE;
