select null
select null, null as n
select [null]
select {'a': null}
select map {}
select map {'k': null}
select [] as l
select [[], [null], null] as l
select 1 as a, 2 as a
select 1 as "a,b", 2 as "c""d"
select ''
select 'a' || chr(10) || 'b' as t
select '10:00:00+02'::timetz as t
select '10:00:00.123456-07:30'::timetz as t
select 'infinity'::date as a, '-infinity'::date as b
select 'infinity'::timestamp as a, '-infinity'::timestamp as b
select 'infinity'::timestamptz as a
select '101010'::bit as b
select bitstring('1', 8) as b
select '\xAA\x00\x41'::blob as b
select ''::blob as b
select '00000000-0000-0000-0000-000000000001'::uuid as u
select 170141183460469231731687303715884105727::hugeint as h
select -170141183460469231731687303715884105728::hugeint as h
select 340282366920938463463374607431768211455::uhugeint as h
select 18446744073709551615::ubigint as u
select interval '1 year 2 months 3 days 4 hours 5.5 seconds' as i
select interval '-1 day' as i
select date '0044-03-15 (BC)' as d
select time '24:00:00' as t
select timestamp_ns '2024-02-29 23:59:59.123456789' as t
select 'x'::enum('x', 'y') as e
select union_value(num := 2) as u
select array_value(1, 2, 3) as a
select [1, 2, 3]::int[3] as a
select 1.10::decimal(38, 20) as d
select 99999999999999999999999999999999999999::decimal(38, 0) as d
select 0.1::float as f, 0.1::double as d, 1e300 as e, -0.0::double as z
select 'nan'::double as n, 'inf'::float as i, '-inf'::double as m
select 123::variant as v
select {'a': 1, 'b': ['x']}::variant as v
select '{"a": [1, {"b": null}]}'::json as j
select '{"a": {"b": "c"}}'::json ->> '$.a.b' as v
select json_extract_string('{"query": "red bowl"}', 'query') as q
select 123456789012345678901234567890::bignum as b
select '2024-01-01'::date + interval 1 month as d
select 1 where false
select * from (values (1, 'a'), (2, null)) t(x, y)
from (values (1), (2)) t(x) select x + 1 as y
table duckdb_types limit 0
values (1, 2)
select count(*) as n from range(1000000)
select x from range(3) t(x) order by x desc limit 2
select sum(x) over (order by x rows between 1 preceding and current row) as s from range(3) t(x)
with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select max(n) as m from r
with recursive r(n) as (select 1 union all select n from r) select * from r limit 3
select list_transform([1, 2, 3], lambda x: x + 1) as l
select [x * 2 for x in [1, 2, 3] if x > 1] as l
select unnest([1, 2]) as u
select unnest({'a': 1, 'b': 2})
select s.* from (select {'a': 1, 'b': 'x'} as s)
select columns('a.*') from (select 1 as ab, 2 as ac, 3 as b)
select * exclude (b) replace (a + 1 as a) from (select 1 as a, 2 as b)
pivot (values ('x', 1), ('y', 2)) t(k, v) on k using sum(v)
unpivot (select 1 as a, 2 as b) on a, b into name k value v
select * from range(2) a positional join range(3) b
select t1.x, t2.y from (values (1)) t1(x) asof join (values (0, 'a')) t2(x, y) on t1.x >= t2.x
select 1 as a union all by name select 2 as b
select (select max(x) from range(5) t(x)) as m
select exists(select 1) as e
select case when null then 1 else 2 end as c
select 1 is distinct from null as d
select coalesce(null, null) as c
select try_cast('x' as int) as t
select cast('x' as int)
select 1 / 0 as q, 1 // 0 as r, 1 % 0 as m
select 9223372036854775807 + 1
select 2147483647::int + 1::int as s
select 200::tinyint
select 'abc'::date
select '2024-13-01'::date
select 1::decimal(3, 2) * 1000
select error('mine')
select regexp_matches('a', '(')
select strptime('x', '%Q')
select decode('\xFF'::blob)
select 'a' like 'b' escape 'cc'
select substring('héllo 北京', 6, 3) as s
select 'héllo' as "größe"
select '🦆' as duck, length('🦆') as n
select repeat('x', 10) as r
select length(repeat('x', 1000000)) as n
select repeat('x', 100000000000)
select hash(1) is not null as h
select typeof(null) as t
select typeof([]) as t
selec 1
select
select 1 +
select * from
select (1
select 'open
select "open
select * from nowhere
select nothing from range(1)
select nofunction(1)
select sum(1) where sum(1) > 1
select x from range(3) t(x) group by 1 having x
select * from range(1) a join range(1) b
select 1 from range(2) limit 'x'
select 1 order by 5
select count(distinct)
select row_number() over (order by 1) from range(2) where row_number() over () = 1
select max(max(x)) from range(3) t(x)
select * from (select 1 as a) s, (select 1 as a) t where a = 1
select array_extract([1], 5) as e
select list_value(1, 'a')
select [1, 2][1] as e, 'abc'[2] as c
select struct_extract({'a': 1}, 'b')
select map {'a': 1}['b'] as e
select map {'a': 1, 'a': 2}
select generate_series(1, 3) as g
select * from generate_series(date '2024-01-01', date '2024-01-02', interval 1 day)
select random() between 0 and 1 as r
select * from range(5) using sample 0
select first(x order by x desc) as f from range(3) t(x)
select histogram(x) as h from (values (1), (1), (2)) t(x)
select approx_count_distinct(x) > 0 as n from range(10) t(x)
select quantile_cont(x, [0.25, 0.75]) as q from range(5) t(x)
select mode(x) as m from (values (1), (1), (2)) t(x)
select string_agg(x, '|') as s from (values ('a'), ('b')) t(x)
select list(x) as l from range(3) t(x)
select arg_max(x, -x) as a from range(3) t(x)
select grouping(x) as g, count(*) as n from range(2) t(x) group by rollup (x) order by all
select date_trunc('month', timestamp '2024-02-29 12:00:00') as d
select extract(epoch from timestamp '1970-01-02') as e
select age(timestamp '2024-03-01', timestamp '2024-01-31') as a
select make_timestamp(9223372036854775807)
select to_timestamp(0) as t
select strftime(date '2024-01-31', '%d.%m.%Y') as s
select md5('a') as m
select to_base64('abc'::blob) as b
select format('{:>5}|{}', 'a', 1) as f
select printf('%d', 'x')
select bit_count(255) as b
select 5 & 3 as a, 5 | 3 as o, xor(5, 3) as x, 1 << 3 as s
select 1 << 100
select sqrt(-1)
select ln(0)
select factorial(50)
select gcd(12, 18) as g
select greatest(1, null, 3) as g
select nullif(1, 1) as n
select alias(x) from (select 1 as x)
select enum_range(null::enum('a', 'b')) as e
select current_setting('nosuch')
select getvariable('nosuch') as v
select * from query('select 1 as one')
select * from query('delete from x')
select * from query_table('nowhere')
describe select 1 as a, 'x' as b
summarize select 1 as a
explain select nowhere
pragma nosuch
pragma table_info('nowhere')
call nosuch()
execute nosuch
deallocate nosuch
drop table nowhere
drop view if exists nowhere
create table t(a int, a int)
create table t(a nosuchtype)
create table nowhere.t(a int)
insert into nowhere values (1)
update nowhere set a = 1
delete from nowhere
alter table nowhere add column b int
commit
rollback
use nowhere
set threads = 'x'
set threads = -1
attach '' as nothing (type nosuch)
detach nowhere
checkpoint nowhere
load nosuch
import database 'nowhere'
comment on table nowhere is 'x'
create index i on nowhere(a)
create sequence s start with 0 increment by 0
create type t as enum ('a', 'a')
create macro m(x) as x +
create function f() as table select * from nowhere
prepare p as select nosuch
merge into nowhere using range(1) on true when matched then delete
vacuum nowhere
analyze nowhere
