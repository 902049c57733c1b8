package org.openapitools.jackson.nullable;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.BeanDescription;
import com.fasterxml.jackson.databind.BeanProperty;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.JsonSerializer;
import com.fasterxml.jackson.databind.SerializationConfig;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.deser.ContextualDeserializer;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.ser.BeanPropertyWriter;
import com.fasterxml.jackson.databind.ser.BeanSerializerModifier;
import java.io.IOException;
import java.util.List;

/** Writes what is null and leaves out what is undefined; reads both. In place of jackson-databind-nullable's. */
public final class JsonNullableModule extends SimpleModule {
    private static final long serialVersionUID = 1;

    public JsonNullableModule() {
        super("JsonNullable");
        addSerializer(JsonNullable.class, new Serializer());
        addDeserializer(JsonNullable.class, new Deserializer(null));
        setSerializerModifier(new LeaveOut());
    }

    @SuppressWarnings("rawtypes") // As Jackson's modules take it.
    private static final class Serializer extends JsonSerializer<JsonNullable> {
        @Override
        public void serialize(JsonNullable field, JsonGenerator json, SerializerProvider provider) throws IOException {
            provider.defaultSerializeValue(field.get(), json);
        }
    }

    @SuppressWarnings("rawtypes")
    private static final class Deserializer extends JsonDeserializer<JsonNullable> implements ContextualDeserializer {
        private final JavaType content;

        Deserializer(JavaType content) {
            this.content = content;
        }

        @Override
        public JsonDeserializer<?> createContextual(DeserializationContext context, BeanProperty property) {
            return new Deserializer(context.getContextualType().containedTypeOrUnknown(0));
        }

        @Override
        public JsonNullable deserialize(JsonParser json, DeserializationContext context) throws IOException {
            return JsonNullable.of(context.<Object>readValue(json, content));
        }

        @Override
        public JsonNullable getNullValue(DeserializationContext context) {
            return JsonNullable.of(null);
        }
    }

    private static final class LeaveOut extends BeanSerializerModifier {
        private static final long serialVersionUID = 1;

        @Override
        public List<BeanPropertyWriter> changeProperties(
                SerializationConfig config, BeanDescription bean, List<BeanPropertyWriter> writers) {
            writers.replaceAll(writer -> writer.getType().hasRawClass(JsonNullable.class) ? new Writer(writer) : writer);
            return writers;
        }
    }

    private static final class Writer extends BeanPropertyWriter {
        private static final long serialVersionUID = 1;

        Writer(BeanPropertyWriter field) {
            super(field);
        }

        @Override
        public void serializeAsField(Object bean, JsonGenerator json, SerializerProvider provider) throws Exception {
            if (((JsonNullable<?>) get(bean)).isPresent()) {
                super.serializeAsField(bean, json, provider);
            }
        }
    }
}
